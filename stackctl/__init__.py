"""Point any Docker Compose stack at any Ollama, and prove that it got there."""

__version__ = "0.2.0"
