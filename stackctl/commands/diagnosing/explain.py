"""``stackctl explain CAUSE``: symptom, cause, what tells it apart, remedy."""

from __future__ import annotations

import difflib

from stackctl.diagnose.catalogue import entries
from stackctl.diagnose.causes import table
from stackctl.diagnose.causes.model import either
from stackctl.errors import UsageError
from stackctl.outcome import Block, Line, Outcome


def explain(cause: str) -> Outcome:
    """One entry of the catalogue; raises :class:`UsageError` with the nearest id."""
    known = entries()
    if cause not in known:
        close = difflib.get_close_matches(cause, known, n=3, cutoff=0.4)
        raise UsageError(
            f'no cause "{cause}"',
            hint=f"did you mean {', '.join(close)}?" if close else "stackctl diagnose --list-causes",
        )
    entry = known[cause]
    rows = [row for row in table() if row.id == cause]
    fix = next((row.fix for row in rows if row.fix), "")
    blocks: list[Block] = [Line(f"{entry.id}  ({entry.layer}, met: {entry.frequency})", "strong")]
    for heading, text in (
        ("Symptom", entry.symptom),
        ("Cause", entry.cause),
        ("What tells it apart", entry.apart),
        ("Remedy", entry.remedy),
    ):
        blocks += [Line(heading, "strong"), Line(text, "plain", 1)]
    if rows:
        blocks += [Line("How stackctl recognises it", "strong")]
        for row in rows:
            needed = " and ".join(" or ".join(either(need)) for need in row.needs)
            excluded = f", and not {', '.join(row.without)}" if row.without else ""
            blocks.append(Line(f"{needed}{excluded}", "dim", 1))
    blocks.append(
        Line(
            "stackctl diagnose --fix repairs it"
            if fix
            else "a person must do it: stackctl changes only its own override and containers",
            "ok" if fix else "dim",
        )
    )
    data = {
        "cause": entry.id,
        "layer": entry.layer,
        "frequency": entry.frequency,
        "symptom": entry.symptom,
        "root_cause": entry.cause,
        "apart": entry.apart,
        "remedy": entry.remedy,
        "fix": bool(fix),
        "signs": [{"needs": ["|".join(either(n)) for n in row.needs], "without": list(row.without)} for row in rows],
        "references": list(entry.references),
    }
    return Outcome("stackctl.explain/1", data, blocks)
