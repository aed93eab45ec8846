"""The Ollama API: client, instances, models, versions; no Docker here."""
