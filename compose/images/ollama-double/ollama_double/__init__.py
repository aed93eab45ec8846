"""A test double of the Ollama server: the same HTTP surface, no model behind it."""

from __future__ import annotations

VERSION = "0.33.0-double"
SERVER = "ollama-double"
