"""``host-setup`` and ``host-check``: what an Ollama server needs of the machine that it runs on."""
