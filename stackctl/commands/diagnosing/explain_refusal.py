"""Why a target was refused, in the words of ``diagnose``: for ``up`` and ``switch``."""

from __future__ import annotations

from typing import Any

from stackctl.commands.context.session import Session
from stackctl.commands.diagnosing.collect import HostLook
from stackctl.commands.diagnosing.diagnose import diagnose
from stackctl.errors import StackctlError


def explain_refusal(session: Session, look: HostLook, target: str) -> tuple[dict[str, Any], ...]:
    """What ``diagnose --profile TARGET`` finds, in its order; without a target what is found in force.

    One question has one answer, whichever verb asks it. None where it cannot be had.
    """
    try:
        found = diagnose(session, look, profile=target or None)
    except StackctlError:
        return ()
    return tuple(f.as_json() for f in found.findings)
