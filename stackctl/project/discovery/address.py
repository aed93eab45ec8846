"""Addresses inside a value, and the template that writes another one in their place."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_PORT = 11434
HOST_NAMES = frozenset(
    {
        "localhost",
        "127.0.0.1",
        "::1",
        "0.0.0.0",  # noqa: S104  (compared, not bound)
        "host.docker.internal",
        "gateway.docker.internal",
        "docker.for.mac.localhost",
        "docker.for.mac.host.internal",
        "docker.for.win.localhost",
        "host.containers.internal",
        "host.lima.internal",
        "host.orb.internal",
        "172.17.0.1",
        "kubernetes.docker.internal",
    }
)
BIND_NAMES = frozenset({"0.0.0.0", "::", "*", "", "127.0.0.1", "localhost", "::1"})  # noqa: S104

FOREIGN = re.compile(r"(?<!\$)\{\w*\}")
"""What would read as a placeholder of a template and is none: ``{}``, ``{name}``; not JSON, nor ``${NAME}``."""

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?:[^\s/@,;|'\"]+@)?(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?(?P<path>/[^\s\"'`,;|<>\\\])}}]*)?",
    re.IGNORECASE,
)
_PAIR = re.compile(
    rf"(?<![A-Za-z0-9_.:/@-])(?P<host>{_HOST}):(?P<port>\d{{2,5}})(?P<path>/[^\s\"'`,;|<>\\\])}}]*)?(?![A-Za-z0-9_.:-])"
)
_BARE = re.compile(rf"^{_HOST}$")


@dataclass(frozen=True)
class Address:
    """One address and where it stands in its value. ``scheme`` is empty and ``port`` None where not written."""

    scheme: str
    host: str
    port: int | None
    path: str
    start: int
    end: int

    @property
    def base(self) -> tuple[str, str, int | None]:
        """What makes two addresses the same server."""
        return (self.scheme, self.host.lower(), self.port)

    @property
    def is_host_machine(self) -> bool:
        """Whether the host is a name of the machine below the containers, or of the container itself."""
        return self.host.lower() in HOST_NAMES

    def template(self) -> str:
        """``{url}``, ``{host}:{port}`` or ``{host}``, with the path that was behind it."""
        if self.scheme:
            return "{url}" + self.path
        return ("{host}:{port}" if self.port else "{host}") + self.path


def addresses(value: str, *, whole: bool = False) -> list[Address]:
    """Every URL in ``value``, and every ``host:port``; with ``whole``, also a value that is one bare host."""
    found = [_address(match, match["scheme"].lower()) for match in _URL.finditer(value)]
    covered = [(a.start, a.end) for a in found]
    for match in _PAIR.finditer(value):
        if not match["host"].isdigit() and not any(start <= match.start() < end for start, end in covered):
            found.append(_address(match, ""))
    if not found and whole and _BARE.match(value) and not value.isdigit():
        found.append(Address("", value.strip("[]"), None, "", 0, len(value)))
    return sorted(found, key=lambda a: a.start)


def _address(match: re.Match[str], scheme: str) -> Address:
    port = int(match["port"]) if match["port"] else None
    start = match.start()
    return Address(scheme, match["host"].strip("[]"), port, match["path"] or "", start, match.end())


def template_of(value: str, mine: list[Address]) -> str | None:
    """``value`` with each of ``mine`` replaced; None where braces in the rest would read as placeholders."""
    if FOREIGN.search(value):
        return None
    out, at = "", 0
    for address in mine:
        out += value[at : address.start] + address.template()
        at = address.end
    return out + value[at:]
