"""Makes data from a server safe to show and to use: it may hold anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

LIMIT = 500


def plain(value: Any, limit: int = LIMIT) -> str:
    r"""``value`` as one line of printable text of at most ``limit`` characters.

    Line breaks and tabs become spaces; every other character that a terminal
    may act on (escapes, bidirectional overrides, controls) becomes ``\xNN`` or ``\uNNNN``.
    """
    text = value if isinstance(value, str) else str(value)
    cut = len(text) > limit
    shown = "".join(_char(c) for c in text[:limit]).strip()
    return f"{shown}…" if cut else shown


def printable(text: str) -> str:
    """Text of several lines, as a model writes it: line breaks and tabs stay, what a terminal acts on does not."""
    return "".join(c if c in "\n\t" else _char(c) for c in text if c != "\r")


def _char(char: str) -> str:
    if char.isprintable():
        return char
    if char in "\n\r\t" or char.isspace():
        return " "
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def mapping(value: Any) -> dict[str, Any]:
    """``value`` where it is a JSON object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def shallow(value: Any, depth: int = 12) -> Any:
    """JSON data with what lies deeper than ``depth`` left out: deeper data could not be written out again."""
    if isinstance(value, dict):
        return {key: shallow(item, depth - 1) for key, item in value.items()} if depth else None
    if isinstance(value, list):
        return [shallow(item, depth - 1) for item in value] if depth else None
    return value


def number(value: Any) -> int:
    """``value`` where it is a whole number of sane size, otherwise 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if -(2**63) < value < 2**63 else 0


def rfc3339(seconds: float) -> str:
    """A Unix time in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def human_bytes(count: float) -> str:
    """``4.7 GB``: decimal units, as Ollama's own listing writes them."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_seconds(seconds: float) -> str:
    """``45s``, ``3m10s``, ``2h05m``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
