"""Networks that Compose is to make anew: refused beforehand where somebody else is on one, for half-way it is stuck."""

from __future__ import annotations

from stackctl.commands.context.session import Session
from stackctl.errors import StepFailed
from stackctl.project.compose import ComposeProject
from stackctl.transaction.observed import Observed, moved_networks, networks_of
from stackctl.transaction.plan import ComposeUp, Plan, RemoveContainer


def refuse_held(session: Session, project: ComposeProject, plan: Plan, observed: Observed) -> None:
    """Raise :class:`StepFailed` where a container that the plan does not stop would hold a network of the project."""
    brought = {service for step in plan.steps if isinstance(step, ComposeUp) for service in step.services}
    brought |= {step.service for step in plan.steps if isinstance(step, RemoveContainer)}
    ours = {container.id for container in observed.containers if container.service in brought}
    for key in sorted(moved_networks(project, observed.state)):
        definition = project.networks[key]
        if definition.get("external") or not any(key in networks_of(project, service) for service in brought):
            continue
        name = str(definition.get("name") or f"{project.name}_{key}")
        there = (session.engine.network(name) or {}).get("Containers") or {}
        strangers = sorted(str(end.get("Name")) for number, end in there.items() if number not in ours)
        if strangers:
            raise StepFailed(
                f"the network {key} differs from what it was made as, and cannot be made anew: "
                f"still on it: {', '.join(strangers)}",
                hint=f"docker network disconnect {name} {strangers[0]}   (and connect it again afterwards)",
            )
