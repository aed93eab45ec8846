"""``init`` and ``schema``: how a Compose project comes to its ``stackctl.yaml``."""
