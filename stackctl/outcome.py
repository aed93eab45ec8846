"""What a command returns: data for JSON, lines for people, an exit code. Only the console prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["plain", "ok", "warn", "bad", "dim", "strong"]


@dataclass(frozen=True)
class Line:
    """One line of text; the console turns its tone into a colour."""

    text: str
    tone: Tone = "plain"
    indent: int = 0


@dataclass(frozen=True)
class Table:
    """Rows under headings; a cell may be text or ``(text, tone)``."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str | tuple[str, Tone]]]


@dataclass(frozen=True)
class Verbatim:
    """Text that goes to stdout as it is: rendered YAML, a script."""

    text: str


Block = Line | Table | Verbatim


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    ``data`` is the JSON document and carries ``schema``; ``blocks`` the same for
    people; ``next_steps`` commands worth running now; ``code`` the exit code.
    """

    schema: str
    data: Mapping[str, Any] = field(default_factory=dict)
    blocks: Sequence[Block] = ()
    next_steps: Sequence[str] = ()
    code: int = 0

    def document(self) -> dict[str, Any]:
        """The JSON document, ``schema`` first."""
        return {"schema": self.schema, **self.data}
