"""What runs of a project while it is adopted: that says more about today than its files do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from stackctl.commands.context.session import Session
from stackctl.config.url import HOST_ALIAS, OllamaUrl
from stackctl.errors import EngineUnusable, StackctlError
from stackctl.ports import Container
from stackctl.project.discovery.elsewhere import is_instance
from stackctl.project.discovery.findings import Findings
from stackctl.project.discovery.modelnames import full_name
from stackctl.project.discovery.staying import in_use, settled

_PATIENCE = 3.0
"""Seconds for a server to say what it has: what it does not say in time is taken to be there."""


def containers_of(session: Session, project: str) -> list[Container]:
    """The project's containers; none where the engine cannot be asked, for the files alone will do then."""
    try:
        return session.engine.containers(project)
    except EngineUnusable:
        return []


def profiles_started(
    raw: Mapping[str, Any], active: Collection[str], containers: Iterable[Container]
) -> tuple[str, ...]:
    """The profiles that ``docker compose --profile`` was given when the project was started.

    Those of services that run although they are not ``active``, where every service of the profile has a container.
    """
    states: dict[str, set[str]] = {}
    for container in containers:
        states.setdefault(container.service, set()).add(container.state)
    members: dict[str, set[str]] = {}
    for name, service in (raw.get("services") or {}).items():
        for profile in (service or {}).get("profiles") or []:
            members.setdefault(str(profile), set()).add(str(name))
    awake = {name for name, seen in states.items() if "running" in seen and name not in active}
    return tuple(profile for profile, names in members.items() if names & awake and names <= set(states))


def lacking(session: Session, findings: Findings, local: str, containers: Sequence[Container]) -> frozenset[str]:
    """The models that the project names and that the server in use does not have today.

    The project works without them as well as it does: ``up`` must not fail for their sake. A model that a
    helper of the project pulls is on its way, and is none of them.
    """
    named = [m for m in settled(findings, local).models if m not in findings.models]
    target = in_use(findings, local)
    present = _models(session, findings, target, containers) if named else None
    return frozenset(m for m in named if full_name(m) not in present) if present is not None else frozenset()


def _models(
    session: Session, findings: Findings, target: str, containers: Sequence[Container]
) -> frozenset[str] | None:
    """What the server ``target`` has; None where it does not run, or does not say."""
    from stackctl.ollama.client import OllamaClient  # noqa: PLC0415  (0.15 s)
    from stackctl.ollama.server import Server  # noqa: PLC0415

    with ExitStack() as opened:
        if is_instance(target):
            url = OllamaUrl.parse(target)
            url = url.with_host("127.0.0.1") if url.host == HOST_ALIAS else url
            client = OllamaClient(Server(target, url, timeout=_PATIENCE))
        else:
            server = next((s for s in findings.ollama_services if f"service:{s.service}" == target), None)
            there = [c for c in containers if server is not None and c.service == server.service]
            running = next((c for c in there if c.state == "running"), None)
            if server is None or running is None:
                return None
            url = OllamaUrl("http", "127.0.0.1", server.port)
            way = session.into_container(running, server.port)
            client = OllamaClient(Server("local", url, timeout=_PATIENCE), backend=way)
        opened.enter_context(client)
        try:
            return frozenset(full_name(model.name) for model in client.tags())
        except StackctlError:
            return None
