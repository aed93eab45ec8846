"""Gather what planning needs, at once where it can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from stackctl.commands.context.session import Session
from stackctl.commands.reconcile import gateway_control
from stackctl.project.compose import ComposeProject
from stackctl.transaction.observed import Observed
from stackctl.transaction.state import State, parse

STATE, OVERRIDE, JOURNAL, AUDIT = "state.json", "override.yaml", "journal.jsonl", "audit.log"


def read_state(session: Session) -> State | None:
    """The last verified state; raises :class:`WrongInput` for a damaged one."""
    path = session.state_directory / STATE
    return parse(session.files.read(path), str(path))


def read_text(session: Session, name: str) -> str | None:
    """A file of ``.stackctl/`` as text, or None."""
    data = session.files.read(session.state_directory / name)
    return None if data is None else data.decode("utf-8", "replace")


def observe(
    session: Session,
    project: ComposeProject,
    state: State | None,
    *,
    networks: Sequence[str] = (),
    services: Sequence[str] = (),
) -> Observed:
    """Containers of the project, images of its services, and which of ``networks`` exist."""
    images = sorted(
        {project.services[s].image for s in services if s in project.services and project.services[s].image}
    )
    with together() as start:
        containers = start(lambda: session.engine.containers(project.name))
        found = start(lambda: _image_ids(session, images))
        present = [start(partial(session.engine.network, name)) for name in networks]
        return Observed(
            containers=tuple(containers.result()),
            override=read_text(session, OVERRIDE),
            state=state,
            images=found.result(),
            gateway=gateway_control.running(session, containers.result()),
            networks=frozenset(n for n, f in zip(networks, present, strict=True) if f.result() is not None),
        )


def _image_ids(session: Session, references: Sequence[str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for reference in references:
        image = session.engine.image(reference)
        if image is not None:
            known[reference] = str(image.get("Id") or "")
    return known


@contextmanager
def together() -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
    """Start functions side by side; their results are the futures'."""
    pool = ThreadPoolExecutor(max_workers=8)
    wait = True
    try:
        yield pool.submit
    except KeyboardInterrupt:
        wait = False  # for an engine that hangs, that would be a long time
        raise
    finally:
        pool.shutdown(wait=wait, cancel_futures=not wait)
