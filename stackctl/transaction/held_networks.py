"""Networks that Compose must recreate, and cannot while a container that the plan leaves alone is on one."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from stackctl.errors import StepFailed
from stackctl.project.compose import ComposeProject
from stackctl.transaction.observed import Observed, moved_networks, networks_of


def refuse_held_networks(project: ComposeProject, observed: Observed, replaced: AbstractSet[str]) -> None:
    """Raise :class:`StepFailed` before anything is touched: Compose would stop halfway, with the network gone.

    ``replaced`` are the services whose containers the plan replaces or removes.
    """
    ours = {container.id for container in observed.containers if container.service in replaced}
    for key in sorted(moved_networks(project, observed.state)):
        if not any(key in networks_of(project, service) for service in replaced):
            continue
        attached = observed.attached.get(key, {})
        strangers = sorted(name for number, name in attached.items() if number not in ours)
        if strangers:
            raise StepFailed(
                f"the network {key} differs from what it was made as, and cannot be made anew: "
                f"still on it: {', '.join(strangers)}",
                hint=f"docker network disconnect {network_name(project, key)} {strangers[0]}"
                "   (and connect it again afterwards)",
            )


def network_name(project: ComposeProject, key: str) -> str:
    """The engine's name of a network of the project."""
    return str(project.networks[key].get("name") or f"{project.name}_{key}")
