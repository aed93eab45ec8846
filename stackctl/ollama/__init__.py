"""The Ollama API: client, instances, models; no Docker here."""
