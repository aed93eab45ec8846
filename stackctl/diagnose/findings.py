"""Judge: from boards to findings. Consequences stay silent under their cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stackctl.diagnose.causes import table
from stackctl.diagnose.causes.model import Cause, Severity, either
from stackctl.diagnose.signs.board import Board
from stackctl.diagnose.words import DEFAULTS, Words
from stackctl.redaction import without_credentials

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""Gravest first. What is of ``info`` may be right as it is: it is said, and never repaired by itself."""


@dataclass(frozen=True)
class Remedy:
    """What to do. ``fix`` is the repair that stackctl can make itself, empty where a person must."""

    summary: str
    commands: tuple[str, ...] = ()
    fix: str = ""

    @property
    def automatic(self) -> bool:
        """Whether ``--fix`` can apply it."""
        return bool(self.fix)


@dataclass(frozen=True)
class Finding:
    """One cause that was found. ``words`` are the board's, for the repair."""

    cause: str
    consumer: str | None
    severity: Severity
    summary: str
    evidence: tuple[str, ...]
    remedy: Remedy
    rank: int = 0
    also: tuple[str, ...] = ()
    words: Words = field(default_factory=Words, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The object of the contract."""
        return {
            "cause": self.cause,
            "consumer": self.consumer,
            "severity": self.severity,
            "summary": self.summary,
            "evidence": list(self.evidence),
            "remedy": {
                "summary": self.remedy.summary,
                "commands": list(self.remedy.commands),
                "automatic": self.remedy.automatic,
            },
            **({"also": list(self.also)} if self.also else {}),
        }


def of_consumer(board: Board, consumer: str) -> list[Finding]:
    """The root cause of one URL's trouble, and what else deserves a warning."""
    held = [row for row in table() if row.scope in ("consumer", "project") and row.holds(board.on)]
    errors = [row for row in held if row.severity == "error"]
    chosen = errors[:1]
    chosen += [row for row in held if row.severity != "error" and row.id not in {c.id for c in chosen}]
    if errors:  # what may come of a wrong setting is not worth a word beside what did
        chosen = [row for row in chosen if row.severity == "error" or row.rung == "resources"]
    return [_finding(row, board, consumer) for row in _once(chosen)]


def of_service(board: Board) -> list[Finding]:
    """What is wrong with a service as such; belongs to no single consumer."""
    held = [row for row in table() if row.scope == board.scope and row.holds(board.on)]
    errors = [row for row in held if row.severity == "error"]
    life = [row for row in errors if row.rung == "life"][:1]
    rest = [row for row in held if row not in life and not (life and row.rung in ("life", "advice"))]
    return [_finding(row, board, None) for row in _once([*life, *rest])]


def _once(rows: Sequence[Cause]) -> list[Cause]:
    kept: dict[str, Cause] = {}
    for row in rows:
        kept.setdefault(row.id, row)
    return list(kept.values())


def _finding(row: Cause, board: Board, consumer: str | None) -> Finding:
    words: Words = {**DEFAULTS, **board.words}

    def fill(text: str) -> str:
        return text.format_map(words)

    signs = [sign for need in row.needs for sign in either(need) if sign in board.seen] + [
        s for s in row.evidence if s in board.seen
    ]
    lines = list(dict.fromkeys(board.seen[s] for s in signs))
    if row.also:
        lines.append(f"looks the same from here: {', '.join(row.also)}; decides: {fill(row.decide)}")
    if not lines:
        variable, value = words.get("variable"), words.get("value")
        lines = (
            [f"{variable}={without_credentials(value or '')} in {consumer}"]
            if variable
            else ["seen in the project's configuration"]
        )
    commands = _settings([line for c in row.commands for line in fill(c).split("\n") if line], words)
    return Finding(
        row.id,
        consumer,
        row.severity,
        fill(row.summary),
        tuple(lines),
        Remedy(fill(row.remedy), commands, row.fix),
        row.rank,
        row.also,
        words,
    )


def _settings(lines: Sequence[str], words: Words) -> tuple[str, ...]:
    """Lines that set the variable, as the value really stands: in a command or a file, or in two variables."""
    variable, place, port = words.get("variable", ""), words.get("place", ""), words.get("port_variable", "")
    out: list[str] = []
    for line in lines:
        head, value = line[: len(variable) + 4], line[len(variable) + 4 :]
        if variable and head == f"  {variable}: " and value == words.get("value"):
            if out[-1:] == ["environment:"]:
                out.pop()
        elif not variable or head != f"  {variable}: ":
            out.append(line)
        elif place or words.get("before") or words.get("after"):
            if out[-1:] == ["environment:"]:
                out.pop()
            out.append(f"# {place or variable}: {value} in place of {words.get('value', '')}")
        elif port and re.search(r":\d+$", value):
            host, _, number = value.rpartition(":")
            out += [f"{head}{host}", f"  {port}: '{number}'"]
        else:
            out.append(line)
    return tuple(out)


def _order(finding: Finding) -> tuple[int, bool, int, bool]:
    asked_about = finding.words.get("source") == "profile"
    return SEVERITIES.index(finding.severity), not asked_about, finding.rank, finding.consumer is None


def fold(findings: Sequence[Finding]) -> list[Finding]:
    """One list: errors before warnings, what is to be mended first on top, nothing twice.

    What speaks against a target that was asked about comes before what is in force.
    A server's own trouble that already explains a consumer's is not said again.
    """
    seen: set[tuple[str, str | None, str]] = set()
    explained = {
        (f.cause, name)
        for f in findings
        if f.consumer is not None
        for name in (f.consumer, f.words.get("service"), f.words.get("target_service"))
    }
    kept = []
    for finding in sorted(findings, key=_order):
        service = finding.words.get("target_service", "") if finding.consumer is None else ""
        key = (finding.cause, finding.consumer, service)
        if key in seen or (finding.consumer is None and (finding.cause, service) in explained):
            continue
        seen.add(key)
        kept.append(finding)
    return kept
