"""The gateway's own configuration, rendered from instances and policy."""
