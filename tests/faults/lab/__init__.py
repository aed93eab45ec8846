"""The fault lab: an engine of its own in a network namespace of its own, and a LAN beside it."""
