"""How the command line shows sizes, times and tables."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STEPS = (
    (365 * 86400, "years"),
    (30 * 86400, "months"),
    (7 * 86400, "weeks"),
    (86400, "days"),
    (3600, "hours"),
    (60, "minutes"),
)


def size(count: int) -> str:
    """Write bytes in decimal units: `5.2 GB`."""
    for factor, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if count >= factor:
            value = count / factor
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{count} B"


def _seconds(text: str) -> float:
    head, mark, tail = text.partition(".")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    short = f"{head}.{tail[: min(6, digits)]}{tail[digits:]}" if mark else text
    moment = dt.datetime.fromisoformat(short)
    return (moment - dt.datetime.now(tz=dt.UTC)).total_seconds()


def _span(seconds: float) -> str:
    for length, unit in _STEPS:
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    if seconds >= 60:
        return "About a minute" if seconds < 120 else f"{int(seconds // 60)} minutes"
    return f"{int(seconds)} seconds" if seconds >= 1 else "Less than a second"


def ago(text: str) -> str:
    """Write a past instant: `2 minutes ago`."""
    return f"{_span(-_seconds(text))} ago"


def until(text: str) -> str:
    """Write an expiry: `4 minutes from now`, `Stopping...` or `Forever`."""
    left = _seconds(text)
    if left < 0:
        return "Stopping..."
    return "Forever" if left > 20 * 365 * 86400 else f"{_span(left)} from now"


def processor(total: int, vram: int) -> str:
    """Write where a model runs."""
    if vram == 0:
        return "100% CPU"
    if vram == total:
        return "100% GPU"
    if vram > total or total == 0:
        return "Unknown"
    cpu = round((total - vram) / total * 100)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"


def write(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table, columns four spaces apart."""
    lines = [head, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    for line in lines:
        sys.stdout.write("".join(f"{cell:<{width + 4}}" for cell, width in zip(line, widths, strict=True)) + "\n")


def show(found: dict[str, Any]) -> None:
    """Write what `ollama show` tells of a model."""
    details, info = found.get("details", {}), found.get("model_info", {})
    architecture = info.get("general.architecture", details.get("family", ""))
    rows = [("architecture", architecture), ("parameters", details.get("parameter_size", ""))]
    lengths = ((key, info.get(f"{architecture}.{key}")) for key in ("context_length", "embedding_length"))
    rows += [(key.replace("_", " "), str(value)) for key, value in lengths if value]
    rows.append(("quantization", details.get("quantization_level", "")))
    sys.stdout.write("  Model\n" + "".join(f"    {key:<20}{value}\n" for key, value in rows))
    sys.stdout.write("\n  Capabilities\n" + "".join(f"    {item}\n" for item in found.get("capabilities", [])))
    if found.get("parameters"):
        sys.stdout.write("\n  Parameters\n" + "".join(f"    {line}\n" for line in found["parameters"].splitlines()))
    sys.stdout.write("\n")
