"""What a set-up is rendered from: a frozen value that the command makes from its options and the stack."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from stackctl.config.url import DEFAULT_PORT

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SHARED_PORTS = frozenset({80, 443})
"""Ports that other programs of a machine are likely to serve too: our rules never close them to everybody else."""

ETC = "/etc/stackctl"


@dataclass(frozen=True)
class Proxy:
    """A TLS proxy on the server: what it answers to, what it demands, and which Ollama stands behind it.

    ``upstream`` is ``host:port``. ``prefix`` is a path without a slash at its
    end, or empty. ``certificate`` and ``key`` are both paths on the server or
    both empty. ``token_file`` is a path on the server to a file with nothing
    but the bearer token; empty means that no token is asked for. ``timeout``
    is in seconds: the longest silence between two reads.
    """

    server_name: str
    port: int = 443
    prefix: str = ""
    upstream: str = f"127.0.0.1:{DEFAULT_PORT}"
    certificate: str = ""
    key: str = ""
    token_file: str = ""
    timeout: int = 3600


@dataclass(frozen=True)
class Tunnel:
    """An SSH tunnel from the Docker host (or from a container of the stack) to an Ollama on the server's loopback.

    ``bind`` is the address of the Docker host that the unit listens on;
    ``networks`` are keys of the project's networks that the Compose service
    joins (empty: Compose's default). ``identity`` and ``known_hosts`` are paths
    on the Docker host.
    """

    host: str
    user: str = "ollama-tunnel"
    ssh_port: int = 22
    bind: str = "172.17.0.1"
    remote_port: int = DEFAULT_PORT
    identity: str = f"{ETC}/tunnel/id_ed25519"
    known_hosts: str = f"{ETC}/tunnel/known_hosts"
    networks: tuple[str, ...] = ()
    base_image: str = "debian:stable-slim"


@dataclass(frozen=True)
class HostPlan:
    """Everything that any of the set-ups is rendered from.

    ``bind`` is the one address that Ollama is to listen on (it takes no more
    than one). ``port`` is where the stack's connections arrive: Ollama's own,
    or the proxy's. ``allowed`` are the sources that may connect.
    ``exclusive`` closes the port to everybody else. ``environment`` are further
    variables for Ollama. ``docker_address`` says that ``bind`` belongs to a
    Docker bridge, which is not there before the engine. ``nft_chain`` is
    ``(family, table, chain)`` of a ruleset that drops by default and must be
    told to let the stack in.
    """

    project: str
    bind: str = "0.0.0.0"  # noqa: S104  (the firewall is rendered beside it, and says why)
    port: int = DEFAULT_PORT
    allowed: tuple[Network, ...] = ()
    exclusive: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    docker_address: bool = False
    nft_chain: tuple[str, str, str] | None = None
    proxy: Proxy | None = None
    tunnel: Tunnel | None = None

    @property
    def allowed4(self) -> tuple[Network, ...]:
        """The allowed IPv4 sources."""
        return tuple(n for n in self.allowed if n.version == 4)

    @property
    def allowed6(self) -> tuple[Network, ...]:
        """The allowed IPv6 sources."""
        return tuple(n for n in self.allowed if n.version == 6)

    @property
    def label(self) -> str:
        """``stackctl-PROJECT``: names files, units and tables."""
        return f"stackctl-{self.project}"

    @property
    def variable(self) -> str:
        """The project as an identifier of letters, digits and ``_``, different for different projects."""
        return "stackctl_" + self.project.replace("_", "__").replace("-", "_")

    def short(self, prefix: str, limit: int) -> str:
        """``prefix`+ project in at most ``limit`` characters, told apart by a digest where it must be cut."""
        name = prefix + self.project
        if len(name) <= limit:
            return name
        return f"{name[: limit - 7]}-{hashlib.sha256(self.project.encode()).hexdigest()[:6]}"


def open_way(*files: str) -> str:
    """Shell commands that let users other than root pass through our own directory to these files; else empty."""
    parents = {parent for file in files for parent in map(str, PurePosixPath(file).parents)}
    ours = sorted(parent for parent in parents if parent == ETC or parent.startswith(f"{ETC}/"))
    return f"chmod 0755 {' '.join(ours)}; " if ours else ""


def collapse(networks: list[Network]) -> tuple[Network, ...]:
    """The same addresses in as few networks as can be, IPv4 first, in order."""
    four = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv6Network))
    return (*four, *six)


def parse_network(text: str) -> Network:
    """``192.168.1.0/24``, ``fd00::/64`` or one address; ``ValueError`` says what is wrong with anything else.

    A network that holds every address is refused: a rule for it limits nothing.
    """
    network = ipaddress.ip_network(text.strip(), strict=False)
    if network.prefixlen == 0:
        raise ValueError(f"{network} is every address there is; name the stack's own subnet or address")
    return network


_PROJECT = re.compile(r"[^a-z0-9_-]+")


def project_name(text: str) -> str:
    """A Compose project name from any text, by Compose's own rule (lower case, the rest left out)."""
    return _PROJECT.sub("", text.lower()).lstrip("_-") or "stack"
