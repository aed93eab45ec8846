"""Wait until services are up and healthy, or say why they will not be."""

from __future__ import annotations

from collections.abc import Sequence

from stackctl.commands.context.session import Session
from stackctl.errors import StepFailed
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.waiting import until

LOOK = 0.05
"""Seconds between two looks at the containers."""
FALLS = 3
"""How often a container may fall and be started again before it is taken for one that will not come up."""


def wait_healthy(session: Session, project: ComposeProject, services: Sequence[str], timeout: float) -> None:
    """Wait until each service runs, and is healthy where it has a healthcheck, or has ended well.

    ``timeout`` is in seconds, and is longer where a service's own healthcheck takes longer to give its verdict.
    Raises :class:`StepFailed` with the end of its log where one cannot get there.
    """
    present = [c for c in session.engine.containers(project.name) if c.service in services]
    timeout = max([timeout, *(c.patience for c in present)])
    restarts = {c.id: c.restarts for c in present}
    waiting: list[Container] = []
    said = ""

    def healthy() -> bool:
        nonlocal waiting, said
        containers = [c for c in session.engine.containers(project.name) if c.service in services]
        refuse_lost(session, containers)
        falling = next((c for c in containers if c.restarts - restarts.get(c.id, 0) >= FALLS), None)
        if falling is not None:
            why = f"{falling.service} falls over again and again{_end_of_log(session, falling)}"
            raise StepFailed(why, hint=f"stackctl logs {falling.service}")
        waiting = [c for c in containers if not _ready(c)]
        if waiting and (states := ", ".join(f"{c.service}: {c.health or c.state}" for c in waiting)) != said:
            said = states
            session.reporter.detail(said)
        return not waiting

    with session.reporter.step(f"waiting for {', '.join(services)}"):
        # A look never costs more than a quarter of a core.
        if not until(healthy, within=timeout, every=LOOK, rest=3):
            slow = waiting[0]
            raise StepFailed(
                f"{slow.service} is still {slow.health or slow.state} after {timeout:.0f} s{_last_health(slow)}",
                hint=f"stackctl logs {slow.service}",
            )


def refuse_lost(session: Session, containers: Sequence[Container]) -> None:
    """Raise :class:`StepFailed` where one of the containers will not come up by waiting."""
    lost = next((c for c in containers if _hopeless(c)), None)
    if lost is not None:
        raise StepFailed(_why_lost(session, lost), hint=f"stackctl logs {lost.service}")


def _ready(container: Container) -> bool:
    if container.state == "running":
        return container.health in (None, "healthy")
    return container.state == "exited" and container.exit_code == 0


def _hopeless(container: Container) -> bool:
    if container.health == "unhealthy":
        return True
    policy = ((container.raw.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no"
    if container.state == "exited" and container.exit_code != 0:
        return policy == "no"
    # A container that falls over again and again will not come up by waiting.
    return container.state in ("exited", "restarting") and container.restarts >= FALLS


def _why_lost(session: Session, container: Container) -> str:
    said = _end_of_log(session, container)
    if container.health == "unhealthy":
        return f"{container.service} is unhealthy{_last_health(container)}{said}"
    state = container.raw.get("State") or {}
    oom = " (out of memory)" if state.get("OOMKilled") else ""
    return f"{container.service} ended with code {container.exit_code}{oom}{said}"


def _end_of_log(session: Session, container: Container) -> str:
    log = session.redactor.text(session.engine.logs(container.id, tail=5)).strip()
    return f":\n{log}" if log else ""


def _last_health(container: Container) -> str:
    log = ((container.raw.get("State") or {}).get("Health") or {}).get("Log") or []
    output = str(log[-1].get("Output") or "").strip().splitlines() if log else []
    return f": {output[-1]}" if output else ""
