"""Where a target is tried from before a consumer's container is there, or before it has the networks that it will."""

from __future__ import annotations

from collections.abc import Mapping

from stackctl.commands.context.session import Session
from stackctl.diagnose.standpoint import Standpoint, as_it_will_run
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject


def standpoint_of(
    session: Session,
    project: ComposeProject,
    name: str,
    container: Container | None,
    shared: str | None,
    environment: Mapping[str, str],
) -> Standpoint:
    """In its container; where there is none in one that has what it will have.

    ``shared`` is a network that it is yet to join, where the server's name may be known only; ``environment``
    the variables that it will have.
    """
    service = project.services[name]
    owner = project.services[project.network_owner(name)]
    joins = shared is not None and not owner.network_mode and (container is None or shared not in container.networks)
    if shared is not None and joins and session.engine.network(shared) is not None:
        return as_it_will_run(project, name, [shared], environment)
    if container is not None:
        return Standpoint(name, container.id, image=service.image)
    wanted = [str(project.networks.get(k, {}).get("name") or f"{project.name}_{k}") for k in owner.networks]
    present = [network for network in wanted if session.engine.network(network) is not None]
    return as_it_will_run(project, name, present, environment)
