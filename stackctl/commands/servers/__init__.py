"""``instances``, ``models`` and ``chat``: the Ollama servers and what they hold."""
