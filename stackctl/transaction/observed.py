"""What is there: the containers of the project and how they differ from what Compose would make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from stackctl.config.target import GATEWAY_SERVICE
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject, Service
from stackctl.transaction.state import State


@dataclass(frozen=True)
class Observed:
    """A snapshot, so that planning asks nothing further.

    ``containers`` are those of the project, ``override`` the text in force (None
    without one), ``images`` maps references to the IDs that the engine has now,
    ``networks`` are names that exist, of those the plan may need.
    """

    containers: tuple[Container, ...]
    override: str | None
    state: State | None
    images: Mapping[str, str] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()
    gateway: tuple[str, str] | None = None
    """Digest and text of the configuration that the gateway runs; None without a running gateway."""
    attached: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of each network that Compose must recreate, by its key: the ID and name of every container on it."""

    def of(self, service: str) -> list[Container]:
        """Containers of one service."""
        return [c for c in self.containers if c.service == service]


def why_changed(service: Service, wanted_hash: str, observed: Observed, *, lasting: bool = False) -> str | None:
    """Why Compose must act on an active service, or None where its containers are as wanted.

    ``lasting``: it is to run on and on, so that one that has ended is not done, however well it ended.
    """
    containers = observed.of(service.name)
    if not containers:
        return None if service.replicas == 0 else "no container yet"
    if any(not _same_config(service, wanted_hash, c, observed.state) for c in containers):
        return "its configuration differs"
    if len(containers) != service.replicas:
        return f"{len(containers)} containers, {service.replicas} wanted"
    for container in containers:
        image = observed.images.get(service.image)
        if image and container.raw.get("Image") != image:
            return "its image is newer"
        if container.state != "running" and (lasting or not _ended_well(container)):
            return f"its container is {container.state}"
    return None


def _same_config(service: Service, wanted: str, container: Container, state: State | None) -> bool:
    if container.config_hash == wanted:
        return True
    # Compose's `config --hash` and the label can disagree for the same input; what was
    # recorded together at the last `up` still tells whether either has moved.
    name = service.name
    return bool(
        state
        and state.computed.get(name) == wanted
        and state.labels.get(name) == container.config_hash
        and state.environments.get(name, "") in ("", _environment_digest(service, wanted))
    )


def environment_digests(project: ComposeProject, hashes: Mapping[str, str]) -> dict[str, str]:
    """Of each active service's variables as Compose resolves them, those of its ``env_file`` among them."""
    return {name: _environment_digest(_service(project, name), wanted) for name, wanted in hashes.items()}


def _service(project: ComposeProject, name: str) -> Service:
    return project.services.get(name) or Service(name, {})


def _environment_digest(service: Service, computed: str) -> str:
    return _digest([computed, service.environment])


def network_digests(project: ComposeProject) -> dict[str, str]:
    """Of the definition of each network, by its key; what is empty left out, as versions of Compose differ in it."""
    return {
        key: _digest({name: value for name, value in definition.items() if value})
        for key, definition in project.networks.items()
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def networks_of(project: ComposeProject, name: str) -> set[str]:
    """Keys of the networks that a service is on; what we add is on the project's default one."""
    service = project.services.get(name)
    if service is None:
        return {"default"}
    return set(project.services[project.network_owner(name)].networks)


def moved_networks(project: ComposeProject, state: State | None) -> set[str]:
    """Networks whose definition is not that of the last time: Compose recreates them, for which all on them stop."""
    known = state.attached if state else {}
    return {key for key, digest in network_digests(project).items() if known.get(key, digest) != digest}


def _ended_well(container: Container) -> bool:
    """A one-shot container that did its work is done; starting it again would be a change."""
    policy = ((container.raw.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no"
    return container.state == "exited" and container.exit_code == 0 and policy in ("no", "on-failure")


def _lasts(project: ComposeProject, service: Service) -> bool:
    """Whether a service shows that it is no job which ends: others count on it while they run, or it serves a port."""
    edges = [edge for s in project if (edge := s.depends_on.get(service.name)) is not None]
    if any(edge.get("condition") == "service_completed_successfully" for edge in edges):
        return False
    return bool(edges or service.ports or service.raw.get("expose") or service.raw.get("healthcheck"))


def changes(
    project: ComposeProject, hashes: Mapping[str, str], observed: Observed, local: str | None
) -> dict[str, str]:
    """Active services that Compose must act on, each with its cause, in the project's order.

    ``local`` is the local server, which like the gateway no project need declare.
    """
    found: dict[str, str] = {}
    moved = moved_networks(project, observed.state)
    for name, wanted in hashes.items():
        service = _service(project, name)
        lasting = name in (local, GATEWAY_SERVICE) or _lasts(project, service)
        cause = why_changed(service, wanted, observed, lasting=lasting)
        if not cause and (differ := sorted(moved & networks_of(project, name))):
            cause = f"the network {', '.join(differ)} differs"
        if cause:
            found[name] = cause
    return found


@dataclass(frozen=True)
class Recorded:
    """What a run leaves in ``state.json`` for the next one to compare with; see :class:`State`."""

    computed: Mapping[str, str]
    environments: Mapping[str, str]
    attached: Mapping[str, str]


def recorded(
    project: ComposeProject,
    hashes: Mapping[str, str],
    observed: Observed,
    local: str | None,
    started: AbstractSet[str],
) -> Recorded:
    """What is in force once the services ``started`` are up.

    What differs and is left alone (by a switch) still differs afterwards: of it the old record stays.
    """
    left = set(changes(project, hashes, observed, local)) - started
    state = observed.state
    before, known, attached = (state.computed, state.environments, state.attached) if state else ({}, {}, {})
    stay = {key for name in left for key in networks_of(project, name)} & moved_networks(project, state)
    return Recorded(
        computed={s: h for s, h in hashes.items() if s not in left} | {s: before[s] for s in left if s in before},
        environments={**environment_digests(project, hashes), **{s: known.get(s, "") for s in left}},
        attached={**network_digests(project), **{key: attached[key] for key in stay}},
    )
