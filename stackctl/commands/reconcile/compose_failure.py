"""Why ``docker compose`` failed, out of all that it printed."""

from __future__ import annotations

import re

_NOT_PULLED = re.compile(r"pull access denied|manifest (?:for .* not found|unknown)|failed to resolve reference|/v2/")
"""How Engine 20.10 to 28 end a pull: refused, no such tag, no such registry, no way to it."""


def compose_reason(stderr: str, *, lines: int = 12) -> str:
    """The end of what Compose printed, without its progress."""
    said = [line.strip() for line in stderr.splitlines() if line.strip() and "level=warning" not in line]
    kept = [line for line in said if not _is_progress(line)]
    # A failed pull stands there twice: as the progress of its service, and as what ended it all.
    kept = [line for line in kept[:-1] if not kept[-1].endswith(line.partition(" Error ")[2] or "-")] + kept[-1:]
    return "\n".join(kept[-lines:]) or "no reason given"


def pull_hint(reason: str, *, local: bool) -> str:
    """How to mend an image that could not be pulled, empty for another reason.

    ``local``: the Ollama container was among what was to start.
    """
    if not _NOT_PULLED.search(reason):
        return ""
    own = "; `local: {image: NAME}` in stackctl.yaml takes another image for Ollama" if local else ""
    return f"an image is not on this engine and could not be pulled: `docker images` shows what is there{own}"


def _is_progress(line: str) -> bool:
    words = line.split()
    if len(words) == 2:
        return words[1] in ("Pulling", "Pulled", "Interrupted", "Skipped", "Building", "Built")
    return len(words) >= 3 and words[0] in ("Container", "Network", "Volume", "Image")
