"""`python3 -m ollama_double serve` is the same as `ollama serve`."""

from __future__ import annotations

import sys

from ollama_double.command.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
