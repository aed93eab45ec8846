"""The user's Compose project as Compose resolved it, and the override as a pure function."""
