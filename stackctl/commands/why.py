"""Why a target was refused, in the words of ``diagnose``: for ``up`` and ``switch``."""

from __future__ import annotations

from stackctl.commands.diagnose import HostLook, diagnose
from stackctl.commands.session import Session
from stackctl.errors import StackctlError


def why(session: Session, look: HostLook, profile: str) -> str:
    """The first finding against ``profile`` as three lines or so; empty where there is none, or none can be had."""
    try:
        found = diagnose(session, look, profile=profile)
    except StackctlError:
        return ""
    error = next((f for f in found.findings if f.severity == "error"), None)
    if error is None:
        return ""
    who = f"{error.consumer}: " if error.consumer else ""
    lines = [f"{who}{error.cause}: {error.summary}", *(f"  saw: {line}" for line in error.evidence[:2])]
    lines += [f"  do: {error.remedy.summary}", *(f"    {command}" for command in error.remedy.commands[:3])]
    return "\n".join(lines)
