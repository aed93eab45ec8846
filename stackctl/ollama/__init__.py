"""The Ollama API: client, instances, models, versions; no Docker here."""

import sys

# httpx loads a command line of its own where it can (click, rich, pygments): 0.1 s of every verb that asks a server.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
