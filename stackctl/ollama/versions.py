"""Versions of the server, and what each brought (from Ollama's own history)."""

from __future__ import annotations

import re

_VERSION = re.compile(r"^v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?(?:-(.+))?$")

SINCE: dict[str, tuple[int, int, int]] = {
    "head-version": (0, 5, 12),
    "context-length-setting": (0, 5, 13),
    "capabilities-in-show": (0, 6, 4),
    "context-length-in-ps": (0, 10, 0),
    "cloud": (0, 12, 0),
    "status": (0, 16, 2),
    "capabilities-in-tags": (0, 30, 0),
}


def parse(text: str | None) -> tuple[int, int, int] | None:
    """``0.33.0-rc2`` as numbers; None for no version, and for ``0.0.0``, which builds from source say."""
    match = _VERSION.match(text.strip()) if text else None
    if match is None:
        return None
    numbers = (int(match[1]), int(match[2]), int(match[3] or 0))
    return numbers if any(numbers) else None


def supports(version: str | None, feature: str) -> bool | None:
    """Whether a server of that version has a feature of :data:`SINCE`; None where the version does not tell."""
    numbers = parse(version)
    return None if numbers is None else numbers >= SINCE[feature]
