"""``audit.log``: one line for each transaction, for people who ask afterwards who changed what."""

from __future__ import annotations

import getpass
import json

from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import AUDIT, rfc3339
from stackctl.errors import StackctlError
from stackctl.transaction.state import State


def audit(session: Session, verb: str, before: str | None, state: State, outcome: str, begun: float) -> None:
    """Append the line; a full disk must not turn a good switch into a failed one, and is only told."""
    entry = {
        "at": rfc3339(begun),
        "user": _user(),
        "verb": verb,
        "environment": state.environment,
        "from": before,
        "to": state.profile,
        "url": state.url,
        "outcome": outcome,
        "seconds": round(session.clock() - begun, 2),
    }
    try:
        session.files.append(session.state_directory / AUDIT, json.dumps(entry))
    except StackctlError as error:
        session.reporter.warn(f"the audit line was not written: {error.message}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
