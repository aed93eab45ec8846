"""Who answers at an address, seen from inside the project."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stackctl.project.compose import Service
from stackctl.project.discovery import images, names
from stackctl.project.discovery.address import DEFAULT_PORT, Address
from stackctl.project.discovery.findings import OllamaService
from stackctl.project.discovery.source import Source

OLLAMA, HOST, EXTERNAL = "ollama", "host", "external"
_WEBSITES = frozenset({"ollama.com", "ollama.ai", "registry.ollama.ai", "github.com"})


@dataclass(frozen=True)
class Landscape:
    """Names and ports of the project. ``hosts`` maps a name or address to the service that answers there.

    ``others`` are databases and the like: whatever asks them asks no Ollama through them.
    """

    hosts: dict[str, str]
    published: dict[int, str]
    servers: dict[str, OllamaService]
    gateways: set[str] = field(default_factory=set)
    others: frozenset[str] = frozenset()

    def owner(self, host: str) -> str | None:
        """The service that answers to ``host``."""
        return self.hosts.get(host.lower())

    def points_at(self, address: Address) -> str:
        """``ollama``, ``host``, ``external``, ``gateway:SERVICE``, ``service:SERVICE``, or empty for no Ollama."""
        owner = self.owner(address.host)
        if owner in self.servers:
            server = self.servers[owner]
            return OLLAMA if address.port in (None, server.port, DEFAULT_PORT) else f"service:{owner}"
        if owner in self.others:
            return ""
        if owner is not None:
            fronts = owner in self.gateways or address.port == DEFAULT_PORT
            return f"gateway:{owner}" if fronts else f"service:{owner}"
        if address.is_host_machine:
            through = self.servers.get(self.published.get(address.port or 0, ""))
            if through is not None and through.active:
                return OLLAMA
            return HOST if through is not None or address.port == DEFAULT_PORT else ""
        if _is_website(address):
            return ""
        if address.port == DEFAULT_PORT or _called_ollama(address.host):
            return EXTERNAL
        return ""


def calls_ollama(address: Address, at: str) -> bool:
    """Whether an address with no variable's name to speak for it is one of an Ollama; ``at`` is where it points."""
    if at.startswith("gateway:"):
        return address.port == DEFAULT_PORT
    return bool(at) and not at.startswith("service:")


def is_page(address: Address) -> bool:
    """Whether it is a page or a download of Ollama's own site: ``https://ollama.com`` alone is its cloud API."""
    return _is_website(address) and not re.match(r"/?$|/(?:api|v1)(?:/|$)", address.path)


def _is_website(address: Address) -> bool:
    return address.host.lower().removeprefix("www.") in _WEBSITES


def _called_ollama(host: str) -> bool:
    """Whether a host's first label, or an underscore name, has the word ``ollama`` in it."""
    return names.says_ollama(host.split(".", 1)[0])


def survey(source: Source, servers: Iterable[OllamaService]) -> Landscape:
    """The names of every service: its own, its aliases, its containers' default names, its static addresses."""
    by_name = {s.service: s for s in servers}
    hosts = _hosts(source, by_name)
    published = _published(source, by_name)
    others = frozenset(
        s.name
        for s in source.project
        if s.name not in by_name and images.is_infrastructure(s.image) and not images.is_gateway(s.image)
    )
    return Landscape(hosts, published, by_name, others=others)


def _hosts(source: Source, servers: Mapping[str, OllamaService]) -> dict[str, str]:
    """Which service answers to each name, in lower case; a server answers to those whose network it uses."""
    hosts: dict[str, str] = {}
    for service in source.project:
        for host in _names(service, source.project.name):
            hosts.setdefault(host.lower(), service.name)
    for name in (s.name for s in source.project if s.name in servers):
        owner = source.project.network_owner(name)
        if owner != name:
            hosts |= {host.lower(): name for host in _names(source.project.services[owner], source.project.name)}
    return hosts


def _published(source: Source, servers: Mapping[str, OllamaService]) -> dict[int, str]:
    """Which service each port of the host leads to; a server's own port before anybody else's."""
    ports = [(port, service) for service in source.project for port in service.ports]
    numbered = [(int(p["published"]), p, s.name) for p, s in ports if str(p.get("published") or "").isdigit()]
    leading = {number: name for number, _, name in reversed(numbered)}
    own = {n: name for n, port, name in numbered if name in servers and port.get("target") == servers[name].port}
    return leading | own


def _names(service: Service, project: str) -> list[str]:
    found = sorted(service.answers_to(), key=lambda n: n != service.name)
    if not service.container_name:
        found += [f"{project}-{service.name}-1", f"{project}_{service.name}_1"]
    for link in (service.raw.get("networks") or {}).values():
        found += [str(link[key]) for key in ("ipv4_address", "ipv6_address") if (link or {}).get(key)]
    return found
