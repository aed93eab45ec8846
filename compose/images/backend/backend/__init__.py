"""A small chat service that uses one Ollama, told by ``OLLAMA_URL`` and ``OLLAMA_MODEL``."""

__version__ = "1.0.0"
