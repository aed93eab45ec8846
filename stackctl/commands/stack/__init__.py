"""The other verbs over a stack: look at it, render it, hand Compose's own verbs to it, let go of it."""
