"""``stackctl history``: what was switched when, by whom, and how it ended."""

from __future__ import annotations

import json
from typing import Any

from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import AUDIT, read_text
from stackctl.outcome import Block, Line, Outcome, Table, Tone

TONES: dict[str, Tone] = {"verified": "ok", "degraded": "warn", "undone": "warn", "rollback failed": "bad"}


def history(session: Session, *, limit: int = 20) -> Outcome:
    """The last ``limit`` entries of ``audit.log``, newest last; lines that are no entries are left out."""
    entries: list[dict[str, Any]] = []
    for line in (read_text(session, AUDIT) or "").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    shown = entries[-limit:]
    rows: list[list[str | tuple[str, Tone]]] = [
        [
            str(e.get("at")),
            str(e.get("user")),
            str(e.get("verb")),
            str(e.get("from") or "–"),
            str(e.get("to")),
            (str(e.get("outcome")), TONES.get(str(e.get("outcome")), "plain")),
            f"{e.get('seconds')} s",
        ]
        for e in shown
    ]
    blocks: list[Block] = (
        [Table(["when", "who", "verb", "from", "to", "outcome", "took"], rows)]
        if rows
        else [Line("nothing has been switched yet", "dim")]
    )
    return Outcome("stackctl.history/1", {"entries": shown}, blocks)
