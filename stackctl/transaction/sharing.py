"""Services that live in the namespace of another one's container, and so go where that container goes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from stackctl.ports import Container
from stackctl.project.compose import ComposeProject, Service
from stackctl.transaction.observed import Observed

_KEYS = ("network_mode", "pid", "ipc")
_ENGINE_KEYS = ("NetworkMode", "PidMode", "IpcMode")


def shares_by_name(service: Service) -> bool:
    """Whether it shares a namespace by ``container:NAME``, of which Compose does not see that NAME was replaced."""
    return any(str(service.raw.get(key) or "").startswith("container:") for key in _KEYS)


def hosts_of(project: ComposeProject, service: Service, observed: Observed) -> dict[str, str]:
    """The services in whose containers' namespaces this one lives, each with the key that says so."""
    named = {c.name: c.service for c in observed.containers} | {
        s.container_name: s.name for s in project if s.container_name
    }
    found: dict[str, str] = {}
    for key in _KEYS:
        kind, _, name = str(service.raw.get(key) or "").partition(":")
        host = name if kind == "service" else named.get(name, "") if kind == "container" else ""
        if host and host != service.name:
            found.setdefault(host, key)
    return found


def with_sharers(
    project: ComposeProject, active: Iterable[str], todo: Mapping[str, str], observed: Observed
) -> dict[str, str]:
    """``todo`` with every active service that lives in the namespace of a container which is replaced or restarted.

    One whose namespace is that of a container that is gone is among them too.
    """
    found = dict(todo)
    present = {name: project.services[name] for name in active if name in project.services}
    ids = {c.id for c in observed.containers}
    for name, service in present.items():
        lost = [h for h, key in hosts_of(project, service, observed).items() if _gone(observed.of(name), key, ids)]
        if lost and name not in found:
            found[name] = f"the container of {', '.join(lost)} whose namespace it shares is gone"
    grown = True
    while grown:
        grown = False
        for name, service in present.items():
            if name in found or not any(c.state in ("running", "restarting", "paused") for c in observed.of(name)):
                continue
            moved = [h for h in hosts_of(project, service, observed) if h in found and observed.of(h)]
            if moved:
                found[name] = f"it shares a namespace of {', '.join(moved)}"
                grown = True
    return {name: found[name] for name in [*present, *found] if name in found}


def namespaces(container: Container) -> dict[str, str]:
    """IDs of the containers in whose namespaces this one was made, by the key of the service that says so."""
    host = container.raw.get("HostConfig") or {}
    modes = {key: str(host.get(name) or "") for key, name in zip(_KEYS, _ENGINE_KEYS, strict=True)}
    return {key: mode.removeprefix("container:") for key, mode in modes.items() if mode.startswith("container:")}


def _gone(containers: Iterable[Container], key: str, ids: AbstractSet[str]) -> bool:
    """Whether one of a service's containers lives in the namespace of a container that is not there."""
    return any(key in found and found[key] not in ids for found in map(namespaces, containers))
