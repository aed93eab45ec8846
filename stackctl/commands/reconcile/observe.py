"""Gather what planning needs, at once where it can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import OVERRIDE, read_text
from stackctl.commands.reconcile import gateway_control
from stackctl.project.compose import ComposeProject
from stackctl.threads import together
from stackctl.transaction.held_networks import network_name
from stackctl.transaction.observed import Observed, moved_networks
from stackctl.transaction.state import State


def observe(
    session: Session,
    project: ComposeProject,
    state: State | None,
    *,
    networks: Sequence[str] = (),
    services: Sequence[str] = (),
) -> Observed:
    """Containers of the project, images of its services, and which of ``networks`` exist.

    Of networks that differ from what ``state`` recorded, it is asked who is on them.
    """
    images = sorted(
        {project.services[s].image for s in services if s in project.services and project.services[s].image}
    )
    with in_parallel() as start:
        containers = start(lambda: session.engine.containers(project.name))
        found = start(lambda: _image_ids(session, images))
        present = [start(partial(session.engine.network, name)) for name in networks]
        moved = sorted(k for k in moved_networks(project, state) if not project.networks[k].get("external"))
        recreated = [start(partial(session.engine.network, network_name(project, key))) for key in moved]
        return Observed(
            containers=tuple(containers.result()),
            override=read_text(session, OVERRIDE),
            state=state,
            images=found.result(),
            gateway=gateway_control.running(session, containers.result()),
            networks=frozenset(n for n, f in zip(networks, present, strict=True) if f.result() is not None),
            attached={key: _attached(future.result()) for key, future in zip(moved, recreated, strict=True)},
        )


def _attached(network: Mapping[str, Any] | None) -> dict[str, str]:
    """ID and name of each container on a network."""
    return {str(number): str(end.get("Name")) for number, end in ((network or {}).get("Containers") or {}).items()}


def _image_ids(session: Session, references: Sequence[str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for reference in references:
        image = session.engine.image(reference)
        if image is not None:
            known[reference] = str(image.get("Id") or "")
    return known


@contextmanager
def in_parallel() -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
    """Start functions side by side; their results are the futures'."""
    with together(8) as pool:
        yield pool.submit
