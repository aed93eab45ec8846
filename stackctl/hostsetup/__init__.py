"""What an Ollama server needs of its host: rendered, and checked."""
