"""The `ollama` command."""
