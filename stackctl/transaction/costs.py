"""What a plan costs those who use the stack: which running services are made anew, and how long that took last time."""

from __future__ import annotations

from collections.abc import Mapping

from stackctl.config.target import GATEWAY_SERVICE
from stackctl.transaction.observed import Observed
from stackctl.transaction.steps import ComposeUp, Plan


def recreated(plan: Plan, observed: Observed, local: str) -> dict[str, float | None]:
    """Running services that the plan makes anew, with the seconds that it took last time, None where that is not known.

    The gateway and the local server are left out: of them nobody is a user but through the others.
    """
    named = [s for step in plan.steps if isinstance(step, ComposeUp) for s in step.services]
    known: Mapping[str, float] = observed.state.durations if observed.state else {}
    return {
        name: known.get(name)
        for name in dict.fromkeys(named)
        if name not in (local, GATEWAY_SERVICE) and any(c.state == "running" for c in observed.of(name))
    }


def told(services: Mapping[str, float | None], *, gateway: bool) -> str:
    """One line of it; empty where nobody is made anew."""
    if not services:
        return ""
    each = ", ".join(f"{s} ({t:.0f} s the last time)" if t is not None else s for s, t in services.items())
    return f"re-creates {each}" + ("" if gateway else "; behind `gateway: true` a switch re-creates nobody")
