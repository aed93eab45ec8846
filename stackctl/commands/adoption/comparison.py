"""A second ``init``: nothing is written, and what differs is shown."""

from __future__ import annotations

import difflib

from stackctl.commands.adoption.proposal import Proposal, outcome
from stackctl.commands.context.session import Session
from stackctl.config.tree import parse
from stackctl.errors import WrongInput
from stackctl.outcome import Block, Line, Outcome, Verbatim
from stackctl.project.discovery.differences import differences


def compare(session: Session, proposal: Proposal, existing: bytes) -> Outcome:
    """A second ``init``: nothing is written, and what differs is shown."""
    text = existing.decode("utf-8", "replace")
    tree = parse(text, session.config_name)
    if tree.problems:
        first = tree.problems[0]
        raise WrongInput(
            f"{session.config_name} is there already and cannot be read: {first.message}",
            where=first.where,
            hint=f"mend it, or move it away and try again: mv {session.config_name} {session.config_name}.old",
        )
    found = differences(tree.data, proposal.findings, proposal.choices)
    said: list[Block] = []
    if not found:
        said.append(Line(f"{session.config_name} is there already and says the same; nothing was changed", "ok"))
    else:
        said.append(Line(f"{session.config_name} is there already and was not changed. What differs:", "warn"))
        said += [Line(line, indent=1) for line in found]
        diff = difflib.unified_diff(
            text.splitlines(),
            proposal.text.splitlines(),
            session.config_name,
            "what init would write",
            lineterm="",
            n=1,
        )
        said.append(Verbatim("\n".join(diff) + "\n"))
    return outcome(proposal, written=False, tail=said, differing=found)
