"""The fault catalogue: symptom, cause, what tells it apart and remedy of every id, for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One fault of the catalogue."""

    id: str
    layer: str
    frequency: str
    symptom: str
    cause: str
    apart: str
    remedy: str
    references: tuple[str, ...] = ()


@cache
def entries() -> dict[str, Entry]:
    """Every entry by id, in the order of the layers."""
    raw = json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))
    return {row["id"]: Entry(**{**row, "references": tuple(row.get("references", ()))}) for row in raw}
