"""Addresses inside a value, and the template that writes another one in their place.

A URL's authority is taken apart as RFC 3986 says: what stands before its last ``@`` is a user and a password, which
may hold commas and colons, and goes into no template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

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

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104  (compared, not bound)

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)"
_SCHEME = re.compile(r"(?P<scheme>https?)://", re.IGNORECASE)
_AUTHORITY = re.compile(r"[^\s/?#\"'`<>\\]*")
_PLACE = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?(?P<path>/[^\s\"'`,;|<>\\\])}}]*)?")
_HOST_AND_PORT = re.compile(rf"{_HOST}(?::\d{{1,5}})?")
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
    user: str | None = field(default=None, repr=False)
    """The user of credentials that stand in the URL; None where there are none."""
    has_password: bool = False

    @property
    def base(self) -> tuple[str, str, int | None]:
        """What makes two addresses the same server."""
        return (self.scheme, self.host.lower(), self.port)

    @property
    def is_host_machine(self) -> bool:
        """Whether the host is a name of the machine below the containers, or of the container itself."""
        return self.host.lower() in HOST_NAMES

    def template(self, prefix: str = "") -> str:
        """``{url}``, ``{host}:{port}`` or ``{host}``, with the path that was behind it.

        ``prefix`` is the beginning of that path which belongs to the server, and so to ``{url}``.
        """
        if self.scheme:
            return "{url}" + self.path.removeprefix(prefix)
        return ("{host}:{port}" if self.port else "{host}") + self.path


def addresses(value: str, *, whole: bool = False) -> list[Address]:
    """Every URL in ``value``, and every ``host:port``; with ``whole``, also a value that is one bare host."""
    found = list(_urls(value))
    covered = [(a.start, a.end) for a in found]
    for match in _PAIR.finditer(value):
        if not match["host"].isdigit() and not any(start <= match.start() < end for start, end in covered):
            found.append(_address(match, ""))
    if not found and whole and _BARE.match(value) and not value.isdigit():
        found.append(Address("", value.strip("[]"), None, "", 0, len(value)))
    return sorted(found, key=lambda a: a.start)


def userinfo(value: str, start: int) -> int:
    """Where the host begins in the authority at ``start``: behind the credentials, where there are any."""
    text = _AUTHORITY.match(value, start)
    authority = text[0] if text else ""
    if following := _SCHEME.search(authority):
        authority = authority[: following.start()]
    if "@" not in authority:
        return start
    alone = value.count("://") == 1 and not re.search(r"\s", value.strip()) and not re.search(r"[;|]\w+=", authority)
    if alone:
        return start + authority.rindex("@") + 1
    first = re.split(r"[,;|]", authority, maxsplit=1)[0]
    return start if _HOST_AND_PORT.fullmatch(first) else start + authority.index("@") + 1


def _urls(value: str) -> Iterator[Address]:
    at = 0
    while scheme := _SCHEME.search(value, at):
        start = userinfo(value, scheme.end())
        at = scheme.end()
        match = _PLACE.match(value, start)
        if match is None:
            continue
        found = replace(_address(match, scheme["scheme"].lower()), start=scheme.start())
        if start > scheme.end():
            user, colon, _ = value[scheme.end() : start - 1].partition(":")
            found = replace(found, user=user, has_password=bool(colon))
        yield found
        at = found.end


def _address(match: re.Match[str], scheme: str) -> Address:
    port = int(match["port"]) if match["port"] else None
    start = match.start()
    return Address(scheme, match["host"].strip("[]"), port, match["path"] or "", start, match.end())


def template_of(value: str, mine: Sequence[tuple[Address, str]]) -> str | None:
    """``value`` with each address replaced by its text; None where braces in the rest would read as placeholders."""
    if FOREIGN.search(value):
        return None
    out, at = "", 0
    for address, text in mine:
        out += value[at : address.start] + text
        at = address.end
    return out + value[at:]
