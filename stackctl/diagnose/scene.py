"""Everything that was observed, as values: what the causes are judged by."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.config.url import OllamaUrl
from stackctl.diagnose.answers import ProbeAnswers
from stackctl.diagnose.sign import Sign
from stackctl.ports import Container, EngineInfo
from stackctl.project.compose import ComposeProject
from stackctl.sockets import is_loopback, is_wildcard, reaches


@dataclass(frozen=True)
class UrlSetting:
    """One URL that a consumer is told, as its container really has it.

    ``url`` is what the text most likely means, without ``suffix`` (``/v1``,
    ``/api/chat``…); None where no address can be read from it. ``marks`` are
    the signs of the text itself. ``source`` is ``container``, ``compose`` (no
    container yet), ``profile`` (a target asked for) or ``log``. ``place`` is
    where the text stands if in no variable: ``command``, a file's name.
    ``port_variable`` is the variable that says the port, where this one does not.
    ``text`` is the part of the value that is this address, with ``before`` and
    ``after`` around it, where the value holds more than that.
    """

    consumer: str
    variable: str
    value: str = field(repr=False)
    url: OllamaUrl | None
    suffix: str = ""
    marks: frozenset[Sign] = frozenset()
    source: str = "container"
    aim: str = ""
    userinfo: str = field(default="", repr=False)
    models: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    trust: str = field(default="", repr=False)
    server_name: str = ""
    verify: bool = True
    paths: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    template: str = ""
    place: str = ""
    port_variable: str = ""
    text: str = field(default="", repr=False)
    before: str = field(default="", repr=False)
    after: str = field(default="", repr=False)


@dataclass(frozen=True)
class ListeningSocket:
    """A listening TCP socket; ``process`` is the command that holds it, empty where it cannot be seen."""

    address: str
    port: int
    process: str = ""

    @property
    def loopback(self) -> bool:
        """Whether only the machine itself reaches it."""
        return is_loopback(self.address)

    @property
    def everywhere(self) -> bool:
        """Whether it is bound to all addresses."""
        return is_wildcard(self.address)

    def takes(self, address: str, *, v6only: bool = False) -> bool:
        """Whether a connection to ``address`` ends here; ``::`` takes IPv4 too unless the kernel is told otherwise."""
        try:
            return reaches(self.address, address, v6_only=v6only)
        except ValueError:
            return False


@dataclass(frozen=True)
class HostTry:
    """The same step, tried from the host. ``error`` as in :class:`stackctl.diagnose.answers.Connected`."""

    error: str
    ms: float


@dataclass(frozen=True)
class HostFacts:
    """What the engine's host shows. ``known`` is false where the engine is elsewhere: then nothing here is judged by.

    ``rules`` is the text of ``iptables-save`` (or ``nft list ruleset``), None
    where it may not be read. ``unit`` holds texts of Ollama's systemd unit by
    path, ``process_environment`` that of the running server.
    """

    known: bool = False
    listeners: tuple[ListeningSocket, ...] = ()
    addresses: tuple[str, ...] = ()
    rules: str | None = None
    resolver: str = ""
    ip_forward: bool | None = None
    bindv6only: bool | None = None
    neighbours: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tries: Mapping[tuple[str, int], HostTry] = field(default_factory=dict)
    unit: Mapping[str, str] = field(default_factory=dict)
    unit_time: float | None = None
    binary_time: float | None = None
    process_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    daemon: Mapping[str, Any] = field(default_factory=dict)
    client_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    kernel: str = ""
    boot_time: float | None = None
    devices: tuple[str, ...] = ()
    snaps: tuple[str, ...] = ()
    journal: str = ""
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Models of Ollama servers of this machine, by their address as seen from the host."""
    egress_mtu: int | None = None
    trust: str = field(default="", repr=False)
    trust_path: str = ""

    def rules_reject(self, port: int) -> bool:
        """Whether a rule answers this port with a reset or an ICMP message."""
        return any(
            "-j REJECT" in line and (f"--dport {port}" in line or "--dport" not in line)
            for line in (self.rules or "").splitlines()
            if "INPUT" in line
        )


@dataclass(frozen=True)
class Scene:
    """One project on one engine, at one moment.

    ``project`` is what the files in force resolve to (our override included);
    ``own`` the same without our override; ``containers`` are this project's,
    ``others`` every other one of the engine. ``seen`` maps a consumer to what
    its probe brought; ``logs`` a container's name to its last lines.
    """

    project: ComposeProject
    containers: tuple[Container, ...]
    others: tuple[Container, ...]
    networks: tuple[Mapping[str, Any], ...]
    info: EngineInfo | None
    settings: tuple[UrlSetting, ...]
    compose: str = "docker compose"
    context: str = ""
    seen: Mapping[str, ProbeAnswers] = field(default_factory=dict)
    further: Mapping[str, ProbeAnswers] = field(default_factory=dict)
    servers: Mapping[str, ProbeAnswers] = field(default_factory=dict)
    host: HostFacts = field(default_factory=HostFacts)
    logs: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: str = ""
    dotenv: Mapping[str, str] = field(default_factory=dict, repr=False)
    shell: Mapping[str, str] = field(default_factory=dict, repr=False)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    images: Mapping[str, bool] = field(default_factory=dict)
    registry: Mapping[str, str] = field(default_factory=dict)
    """What the registry of an absent image said instead of answering, by image."""
    volumes: tuple[str, ...] = ()
    volume_owners: Mapping[str, str] = field(default_factory=dict)
    """The Compose project that a volume was made for, where one is written on it."""
    processes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """How many processes run in a container, and how many may, where starting one more in it went wrong."""
    ollama_services: tuple[str, ...] = ()
    unasked: frozenset[str] = frozenset()
    """Consumers that this diagnosis is not about: what is wrong with them is found when they are asked."""
    verified: str = ""
    deep: bool = False
    now: float = 0.0

    def container(self, service: str) -> Container | None:
        """The container of a service: the running one where there are several."""
        mine = [c for c in self.containers if c.service == service]
        return next((c for c in mine if c.state == "running"), mine[0] if mine else None)

    @property
    def everything(self) -> tuple[Container, ...]:
        """Every container of the engine."""
        return (*self.containers, *self.others)

    def by_id(self, identifier: str) -> Container | None:
        """A container by its ID or name."""
        if not identifier:
            return None
        return next((c for c in self.everything if c.id.startswith(identifier) or c.name == identifier), None)

    def owner_of(self, address: str) -> Container | None:
        """The running container that has this address on one of its networks."""
        for container in self.everything:
            for endpoint in container.networks.values():
                if address and address in (endpoint.get("IPAddress"), endpoint.get("GlobalIPv6Address")):
                    return container
        return None

    def named(self, name: str) -> list[Container]:
        """Containers that a user-defined network knows by ``name``: service, container name, alias, hostname."""
        found = []
        for container in self.everything:
            names = {container.service, container.name, str((container.raw.get("Config") or {}).get("Hostname"))}
            for endpoint in container.networks.values():
                names.update(endpoint.get("DNSNames") or [])
                names.update(endpoint.get("Aliases") or [])
            if name and name in names:
                found.append(container)
        return found

    def subnets(self) -> list[tuple[str, Any, Mapping[str, Any]]]:
        """``(network name, subnet, network)`` of every engine network that has one."""
        found = []
        for network in self.networks:
            for config in ((network.get("IPAM") or {}).get("Config")) or []:
                if config.get("Subnet"):
                    found.append(
                        (str(network.get("Name")), ipaddress.ip_network(config["Subnet"], strict=False), network)
                    )
        return found

    def gateways(self) -> dict[str, str]:
        """Gateway address of every bridge network, to the network's name: all of them are the host."""
        found = {}
        for network in self.networks:
            if network.get("Driver") != "bridge":
                continue
            for config in ((network.get("IPAM") or {}).get("Config")) or []:
                subnet = config.get("Subnet")
                gateway = config.get("Gateway") or (
                    str(next(ipaddress.ip_network(subnet, strict=False).hosts(), "")) if subnet else ""
                )
                if gateway:
                    found[gateway.split("/")[0]] = str(network.get("Name"))
        return found
