"""The gateway: a reverse proxy that gives consumers one address, whichever Ollama serves them.

Pure: the configuration of the reverse proxy rendered from instances and policy,
the Compose service that runs it, what to run inside its container, and how to
read what it says. Callers act. See ``docs/gateway.md``.
"""
