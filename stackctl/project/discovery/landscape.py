"""Who answers at an address, seen from inside the project: by what listens there, not by what it is called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from stackctl.config.url import HOST_ALIAS, OllamaUrl, UrlError, prefix_of
from stackctl.project.compose import ComposeProject, Service
from stackctl.project.discovery import images, names
from stackctl.project.discovery.address import DEFAULT_PORT, HOST_NAMES, LOOPBACK, Address
from stackctl.project.discovery.findings import OllamaService
from stackctl.project.discovery.source import Source

OLLAMA, HOST, EXTERNAL = "ollama", "host", "external"
MACHINE = "/machine"
"""The network namespace of the machine itself; no service has such a name."""
_WEBSITES = frozenset({"ollama.com", "ollama.ai", "registry.ollama.ai", "github.com"})


@dataclass(frozen=True)
class Landscape:
    """Names and ports of the project. ``hosts`` maps a name or address to the service that answers there.

    ``published`` maps a port of the machine to the service that publishes it and the port behind it.
    ``others`` are databases and the like: whatever asks them asks no Ollama through them.
    ``is_machine`` is as in :class:`~stackctl.project.discovery.source.Source`.
    """

    project: ComposeProject
    hosts: dict[str, str]
    published: dict[int, tuple[str, int]]
    servers: dict[str, OllamaService]
    gateways: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    is_machine: Callable[[str], bool] = field(default=lambda _host: False, repr=False)

    def owner(self, host: str, own: str = "") -> str | None:
        """The service that answers to ``host``, for the service ``own``: its ``links`` and ``extra_hosts`` count."""
        key = host.lower()
        service = self.project.services.get(own)
        if service is not None:
            if linked := _links(service).get(key):
                return linked
            if pinned := self._pinned(own, key):
                return self.hosts.get(pinned)
        return self.hosts.get(key)

    def points_at(self, address: Address, own: str = "") -> str:
        """``ollama``, ``host``, ``external``, ``gateway:SERVICE``, ``service:SERVICE``, or empty for no Ollama.

        ``own`` is the service that asks.
        """
        owner = self.owner(address.host, own)
        server = self._server(address, own)
        if server is not None:
            right = address.port in (None, server.port, DEFAULT_PORT) or not self._by_name(address, own)
            return OLLAMA if right else f"service:{server.service}"
        if owner in self.others:
            return ""
        if owner is not None:
            fronts = owner in self.gateways or address.port == DEFAULT_PORT
            return f"gateway:{owner}" if fronts else f"service:{owner}"
        if address.is_host_machine or self._pinned(own, address.host.lower()) == MACHINE:
            off = address.port in self.published and self._behind(*self.published[address.port]) is not None
            return HOST if off or address.port == DEFAULT_PORT else ""
        if _is_website(address):
            return ""
        if address.port == DEFAULT_PORT or _called_ollama(address.host):
            return EXTERNAL
        return ""

    def server(self, address: Address, at: str, own: str) -> str:
        """Who that is, as :class:`~stackctl.project.discovery.findings.Spot` has it; ``at`` is where it points."""
        if at == OLLAMA:
            found = self._server(address, own)
            return f"service:{found.service}" if found is not None and self._answers(address, own) else ""
        if ":" in at:
            return f"service:{at.partition(':')[2]}"
        if not self._answers(address, own):
            return ""
        pinned = self._pinned(own, address.host.lower())
        machine = pinned == MACHINE or self._space(own) == MACHINE or address.host.lower() not in LOOPBACK
        host = HOST_ALIAS if pinned == MACHINE or (address.is_host_machine and machine) else address.host
        port = address.port or (443 if address.scheme == "https" else 80 if address.scheme else DEFAULT_PORT)
        bracketed = f"[{host}]" if ":" in host else host
        text = f"{address.scheme or 'http'}://{bracketed}:{port}{prefix_of(address.path)}"
        try:
            return str(OllamaUrl.parse(text))
        except UrlError:
            return text

    def prefix(self, address: Address, at: str) -> str:
        """The beginning of the address's path that belongs to the server itself."""
        return prefix_of(address.path) if at in (HOST, EXTERNAL) and address.scheme else ""

    def _answers(self, address: Address, own: str) -> bool:
        """Whether anybody can answer: a container's own loopback has only what runs in its namespace.

        A name without a dot that no service has is one of another project, and is known on a network shared with it.
        """
        host = address.host.lower()
        if host in LOOPBACK and self._pinned(own, host) is None:
            space = self._space(own)
            return space == MACHINE or self._behind(space, address.port or DEFAULT_PORT) is not None
        if "." in host or ":" in host or self.owner(host, own) or self._pinned(own, host) or host in HOST_NAMES:
            return True
        return not names.says_ollama(host) or self._shares_a_network(own)

    def _shares_a_network(self, own: str) -> bool:
        service = self.project.services.get(self.project.network_owner(own))
        if service is None:
            return False
        shared = any(self.project.networks.get(n, {}).get("external") for n in service.networks)
        return shared or service.network_mode.startswith("container:") or bool(service.raw.get("external_links"))

    def _server(self, address: Address, own: str) -> OllamaService | None:
        """The project's server that listens at the address, where one does."""
        host = address.host.lower()
        pinned = self._pinned(own, host)
        if host in LOOPBACK and pinned is None:
            space = self._space(own)
            here = self._behind(space, address.port or DEFAULT_PORT)
            if here is not None or space != MACHINE:
                return here or self._through_machine(address)
            return self._through_machine(address)
        if pinned == MACHINE or (pinned is None and host in HOST_NAMES):
            return self._behind(MACHINE, address.port or DEFAULT_PORT) or self._through_machine(address)
        owner = self.owner(host, own)
        if owner is None:
            # Only where a server has that port is it worth asking whose name or address it is.
            found = self._behind(MACHINE, address.port or DEFAULT_PORT) or self._through_machine(address)
            return found if found is not None and self.is_machine(pinned or host) else None
        if owner in self.servers:
            return self.servers[owner]
        return self._behind(self.project.network_owner(owner), address.port or DEFAULT_PORT)

    def _by_name(self, address: Address, own: str) -> bool:
        """Whether the address names the server itself, so that its port has still to be the right one."""
        return self.owner(address.host, own) in self.servers

    def _through_machine(self, address: Address) -> OllamaService | None:
        found = self._behind(*self.published[address.port]) if address.port in self.published else None
        return found if found is not None and found.active else None

    def _behind(self, space: str, port: int) -> OllamaService | None:
        """The server that listens on ``port`` in a network namespace."""
        for server in self.servers.values():
            if server.port == port and self._space(server.service) == space:
                return server
        return None

    def _space(self, service: str) -> str:
        """The network namespace of a service: the service that it belongs to, or the machine's."""
        owner = self.project.network_owner(service)
        known = self.project.services.get(owner)
        return MACHINE if known is not None and known.network_mode == "host" else owner

    def _pinned(self, own: str, host: str) -> str | None:
        """What ``extra_hosts`` of the service that asks make of a name: an address, ``MACHINE``, or None."""
        service = self.project.services.get(self.project.network_owner(own))
        found = service.extra_hosts.get(host, []) if service is not None else []
        return (MACHINE if found[0] == "host-gateway" or found[0] in HOST_NAMES else found[0]) if found else None


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
    hosts: dict[str, str] = {}
    # Two services may share a name of which one only is ever active: a server on the CPU and one on the GPU.
    for service in sorted(source.project, key=lambda s: s.name not in source.project.active):
        for host in _names(service, source.project.name):
            hosts.setdefault(host.lower(), service.name)
    others = {
        s.name
        for s in source.project
        if s.name not in by_name and images.is_infrastructure(s.image) and not images.is_gateway(s.image)
    }
    return Landscape(
        source.project, hosts, _published(source, by_name), by_name, others=others, is_machine=source.is_machine
    )


def _published(source: Source, servers: Mapping[str, OllamaService]) -> dict[int, tuple[str, int]]:
    """Where each port of the machine leads; to a server's own port before anybody else's."""
    ports = [(port, service.name) for service in source.project for port in service.ports]
    numbered = [
        (int(p["published"]), (name, int(p.get("target") or 0)))
        for p, name in ports
        if str(p.get("published") or "").isdigit()
    ]
    own = {n: place for n, place in numbered if place[0] in servers and place[1] == servers[place[0]].port}
    return dict(reversed(numbered)) | own


def _links(service: Service) -> dict[str, str]:
    """Names that ``links`` give a service: alias to service."""
    found = {}
    for link in service.raw.get("links") or []:
        name, colon, alias = str(link).partition(":")
        found[(alias if colon else name).lower()] = name
    return found


def _names(service: Service, project: str) -> list[str]:
    found = sorted(service.answers_to(), key=lambda n: n != service.name)
    if not service.container_name:
        found += [f"{project}-{service.name}-1", f"{project}_{service.name}_1"]
    for link in (service.raw.get("networks") or {}).values():
        found += [str(link[key]) for key in ("ipv4_address", "ipv6_address") if (link or {}).get(key)]
    return found
