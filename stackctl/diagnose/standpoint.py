"""Where a consumer is, or would be: what its addresses are to be tried from. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stackctl.diagnose.answers import AimAnswers
from stackctl.diagnose.scene import Scene, UrlSetting
from stackctl.diagnose.signs.board import Case
from stackctl.project.compose import ComposeProject, Service

_NODE = ("node", "nodejs", "npm", "npx", "pnpm", "yarn", "next-server")


@dataclass(frozen=True)
class Standpoint:
    """Where a consumer is, or would be.

    ``container`` is the ID of its running container, empty where there is none;
    then ``network`` is what a probe container joins (an engine network,
    ``host``, ``none``, ``container:ID``; empty where it does not exist yet) and
    ``extra_hosts`` (``name:address``) what it is told. ``image`` helps to find
    one that is there.
    """

    consumer: str
    container: str = ""
    network: str = ""
    extra_hosts: tuple[str, ...] = ()
    image: str = ""
    fresh: bool = False
    """Stand in the namespace from a container of our own even where exec would do."""
    options: tuple[str, ...] = ()
    """Further options of ``docker run`` that give a probe container what the consumer will have: ``--dns``, …"""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    words: tuple[str, ...] = ()
    """The service's own entrypoint and command, which come before those of its image."""
    as_image: bool = False
    """Whether to stand there as the consumer's own image, so with its trust store and its runtime."""


def standpoint(scene: Scene, consumer: str) -> Standpoint:
    """Where a consumer is: in its running container, else in the network that it would join."""
    container = scene.container(consumer)
    service = scene.project.services.get(consumer)
    case = Case(scene, UrlSetting(consumer, "", "", None), container, service, None, AimAnswers(), None)
    hosts = tuple(f"{name}:{address}" for name, address in case.extra_hosts.items())
    if container is not None and container.state in ("running", "paused"):
        attached = next((n for n in container.networks if n not in ("host", "none")), "")
        image, paused = str(container.raw.get("Image")), container.state == "paused"
        return Standpoint(consumer, container.id, attached, hosts, image, fresh=paused)
    if case.network_mode in ("host", "none"):
        return Standpoint(consumer, network=case.network_mode)
    if case.network_mode.startswith(("container:", "service:")):
        owner = scene.by_id(case.network_mode.partition(":")[2]) or scene.container(case.network_mode.partition(":")[2])
        running = owner is not None and owner.state == "running"
        return Standpoint(consumer, network=f"container:{owner.id}" if owner and running else "")
    there = {str(n.get("Name")): n for n in scene.networks}
    wanted = list(container.networks) if container else []
    if service is not None:
        wanted += [
            str((scene.project.networks.get(k) or {}).get("name") or f"{scene.project.name}_{k}")
            for k in service.networks
        ]
    open_first = sorted((n for n in dict.fromkeys(wanted) if n in there), key=lambda n: bool(there[n].get("Internal")))
    network = open_first[0] if open_first else ""
    setting = [t.url.host for t in scene.settings if t.consumer == consumer and t.url]
    if not network and "bridge" in there and not any(h in scene.project.services for h in setting):
        # Its network is yet to be made; what lies outside Docker is reached from the default bridge the same way.
        network = "bridge"
    return Standpoint(consumer, network=network, extra_hosts=hosts)


def as_it_will_run(
    project: ComposeProject, name: str, networks: Sequence[str], environment: Mapping[str, str]
) -> Standpoint:
    """Where a consumer without a container will be, with what it will have there.

    ``networks`` are those of its networks that the engine has. Where it has none
    yet, the default bridge leaves for the world by the same way.
    """
    service, owner = project.services[name], project.services[project.network_owner(name)]
    where = "host" if owner.network_mode == "host" else networks[0] if networks else "bridge"
    on_host = where == "host"
    hosts = [f"{host}:{address}" for host, addresses in owner.extra_hosts.items() for address in addresses]
    options = [
        f"--{option}={value}"
        for option, key in (("dns", "dns"), ("dns-search", "dns_search"), ("dns-option", "dns_opt"))
        for value in ([] if on_host else _listed(owner.raw.get(key)))
    ]
    options += [f"--network={network}" for network in networks[1:]] if not on_host else []
    options += [f"--mount=type=bind,source={s},target={t},readonly" for s, t in _files(project, service)]
    if user := str(service.raw.get("user") or ""):
        options.append(f"--user={user}")
    return Standpoint(
        name,
        network=where,
        extra_hosts=tuple(hosts),
        image=service.image,
        options=tuple(options),
        environment=environment,
        words=(*_listed(service.raw.get("entrypoint")), *_listed(service.raw.get("command"))),
        as_image=bool(service.image),
    )


def runtime_of(words: Sequence[str]) -> str:
    """``node`` or ``python``, by which a command line runs an app; empty where it says neither."""
    for word in (part for text in words for part in text.split()):
        program = word.rpartition("/")[2]
        if program in _NODE:
            return "node"
        if re.match(r"(?:python|gunicorn|uvicorn)[\d.]*$", program):
            return "python"
    return ""


def _listed(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(v) for v in value] if isinstance(value, list) else []


def _files(project: ComposeProject, service: Service) -> list[tuple[str, str]]:
    """The files of this machine that the consumer will see, such as a certificate, and where; its volumes are none."""
    found = [(str(m.get("source")), str(m.get("target"))) for m in service.volumes if m.get("type") == "bind"]
    for key, known, base in (("secrets", project.secrets, "/run/secrets/"), ("configs", project.configs, "/")):
        for given in service.raw.get(key) or []:
            name = str(given.get("source") or "")
            target = str(given.get("target") or name)
            if file := (known.get(name) or {}).get("file"):
                found.append((str(file), target if target.startswith("/") else f"{base}{target}"))
    return [(source, target) for source, target in found if not {",", '"'} & set(source + target)]
