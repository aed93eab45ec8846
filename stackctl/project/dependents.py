"""Who needs the project's own Ollama server and cannot be pointed elsewhere: asked before the server is switched off.

A pure room. What is known without reading files (consumers that are ``fixed``,
edges of Compose, variables of running containers) is told from the project and
its containers; what only files show comes from discovery's findings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stackctl.config.models import StackConfig
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject, Service
from stackctl.project.discovery.address import Address, addresses
from stackctl.project.discovery.pullers import pulls_models
from stackctl.project.localollama import Listener

if TYPE_CHECKING:
    from stackctl.project.discovery.findings import Findings, Setting

RUNS = frozenset({"running", "restarting", "paused"})
GATEWAY_TAKES_OVER = "`gateway: true` takes over the server's name for it"
_NAMESPACES = ("network_mode", "pid", "ipc")
_ENGINE_NAMESPACES = {"NetworkMode": "network_mode", "PidMode": "pid", "IpcMode": "ipc"}


@dataclass(frozen=True)
class Dependent:
    """A service or a container that needs the server: ``how`` is what binds it, ``remedy`` how it can be moved."""

    name: str
    how: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name} ({self.how}): {self.remedy}"


def counts(project: ComposeProject, service: str, containers: Sequence[Container]) -> bool:
    """Whether a service runs, or is one that ``up`` would start; what has ended well is done."""
    own = [c for c in containers if c.service == service]
    if any(c.state in RUNS for c in own):
        return True
    if service not in project.active or project.services[service].is_scaled_to_none:
        return False
    return not own or any(c.state != "exited" or c.exit_code != 0 for c in own)


def helpers(project: ComposeProject, config: StackConfig) -> list[str]:
    """Services beside the server that serve nothing but it, and so go with it.

    They are no consumers, and of Ollama's own image, or of any other that only pull models.
    """
    own = project.services[config.local.service]
    return [
        service.name
        for service in project
        if service.name != own.name
        and service.name not in config.consumers
        and own.name in service.depends_on
        and ((service.image and service.image == own.image) or pulls_models(service, project))
    ]


def by_edges(project: ComposeProject, server: str, containers: Sequence[Container]) -> list[Dependent]:
    """Services that Compose itself ties to the server's container: its namespaces and its volumes."""
    found = []
    for service in project:
        if service.name == server or not counts(project, service.name, containers):
            continue
        for edge in shared_with(service, server):
            own = (
                "mount the volume itself, in place of `volumes_from`"
                if edge.startswith("volumes_from")
                else f"take `{edge.partition(':')[0]}` out of {service.name}"
            )
            found.append(Dependent(service.name, edge, f"to move it, {own}"))
    return found


def shared_with(service: Service, other: str) -> list[str]:
    """The keys of a service that share a namespace or the volumes of the service ``other``, as they are written."""
    found = [f"{key}: service:{other}" for key in _NAMESPACES if str(service.raw.get(key) or "") == f"service:{other}"]
    for entry in service.raw.get("volumes_from") or []:
        if str(entry).partition(":")[0] == other:
            found.append(f"volumes_from: {entry}")
    return found


def by_configuration(project: ComposeProject, config: StackConfig, containers: Sequence[Container]) -> list[Dependent]:
    """Consumers that ``stackctl.yaml`` knows to be told by what no override reaches, and services with a link."""
    found = [
        Dependent(name, consumer.fixed, GATEWAY_TAKES_OVER)
        for name, consumer in config.consumers.items()
        if consumer.fixed is not None and counts(project, name, containers)
    ]
    for service in project:
        links = [str(link) for link in service.raw.get("links") or []]
        linked = any(link.partition(":")[0] == config.local.service for link in links)
        if linked and service.name not in config.consumers and counts(project, service.name, containers):
            found.append(Dependent(service.name, f"links: {config.local.service}", GATEWAY_TAKES_OVER))
    return found


def by_findings(
    project: ComposeProject,
    config: StackConfig,
    findings: Findings,
    listener: Listener,
    containers: Sequence[Container],
) -> list[Dependent]:
    """Services whose files or variables name the server in a place that ``stackctl.yaml`` does not rewrite."""
    found = []
    alone = len([s for s in findings.ollama_services if not s.bundled]) == 1
    for consumer in findings.consumers:
        if consumer.goes_with_server or not counts(project, consumer.service, containers):
            continue
        known = config.consumers.get(consumer.service)
        rewritten = set(known.env) if known else set()
        whole = known is not None and bool(known.command or known.entrypoint)
        for setting in consumer.settings:
            if setting.name in rewritten:
                continue
            if whole and setting.kind in ("command", "entrypoint"):
                continue
            if _names(setting, consumer.service, listener, certain=alone and setting.points_at == "ollama"):
                told = f'{{env: {{{setting.name}: "{setting.template}"}}}}'
                remedy = (
                    f"`{consumer.service}: {told}` under `consumers` moves it"
                    if setting.template is not None and setting.kind in ("env", "env_file")
                    else f"{GATEWAY_TAKES_OVER}, with `{consumer.service}: {{}}` under `consumers`"
                )
                found.append(Dependent(consumer.service, setting.evidence or setting.kind, remedy))
                break
    return found


def _names(setting: Setting, consumer: str, listener: Listener, *, certain: bool) -> bool:
    """Whether a setting that leads to an Ollama of the project leads to this one; ``certain`` without another."""
    seen = addresses(setting.value or "", whole=True)
    return certain or any(listener.answers(a.host, a.port, consumer) for a in seen)


def by_environment(config: StackConfig, listener: Listener, containers: Iterable[Container]) -> list[Dependent]:
    """Running containers of the project that nobody tells anew, and whose variables or arguments name the server."""
    found = []
    for container in containers:
        consumer = config.consumers.get(container.service)
        if container.state not in RUNS or container.service == listener.service:
            continue
        if consumer is not None and (consumer.env or consumer.command or consumer.entrypoint):
            continue
        if place := _said(container, partial(listener.answers, consumer=container.service)):
            remedy = f"{GATEWAY_TAKES_OVER}, with `{container.service}: {{}}` under `consumers`"
            found.append(Dependent(container.service or container.name, place, remedy))
    return found


def of_others(
    listener: Listener,
    server: Sequence[Container],
    containers: Iterable[Container],
    shared: Collection[str] | None = None,
) -> list[Dependent]:
    """Running containers outside of the project that hang on the server's container or name it.

    ``server`` are the containers that would go; ``shared`` are the networks on which a name of
    theirs counts, None for all of the server's own.
    """
    ids = {c.id for c in server}
    names = {c.name for c in server}
    networks = {n for c in server for n in c.networks}
    known = networks if shared is None else networks & set(shared)
    found = []
    for container in containers:
        if container.state not in RUNS:
            continue
        host = container.raw.get("HostConfig") or {}
        tied = [
            f"{word}: container:{server[0].name}"
            for key, word in _ENGINE_NAMESPACES.items()
            if str(host.get(key) or "").partition("container:")[2] in ids | names
        ]
        tied += [
            f"volumes_from: {entry}"
            for entry in host.get("VolumesFrom") or []
            if str(entry).partition(":")[0] in ids | names
        ]
        near = bool(known & set(container.networks))
        place = tied[0] if tied else _said(container, partial(listener.answers_outside, near=near))
        if place:
            project = container.labels.get("com.docker.compose.project")
            whose = f"{container.name} of the project {project}" if project else container.name
            found.append(Dependent(whose, place, "what made that container can move it, and stackctl cannot"))
    return found


def _said(container: Container, answers: Callable[[str, int | None], bool]) -> str:
    """The variable, or the argument, of a container that holds an address of the server; empty without one."""
    for name, value in container.environment.items():
        if any(answers(a.host, a.port) for a in _addresses(value)):
            return name
    for key, words in container.arguments.items():
        if any(answers(a.host, a.port) for word in words for a in _addresses(word)):
            return f"its {key}"
    return ""


def _addresses(value: str) -> list[Address]:
    return addresses(value) if ":" in value and len(value) < 4096 else []
