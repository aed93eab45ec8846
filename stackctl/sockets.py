"""Listening sockets from the kernel's own tables, ``/proc/net/tcp`` and ``/proc/net/tcp6`` (proc(5))."""

from __future__ import annotations

import ipaddress
import struct
import sys
from dataclasses import dataclass

_LISTEN = "0A"
_ESTABLISHED = "01"


@dataclass(frozen=True, order=True)
class Listening:
    """A listening TCP socket. ``inode`` leads to the process that holds it; ``uid`` is its owner's."""

    address: str
    port: int
    inode: int
    uid: int


def parse_proc_net_tcp(text: str) -> list[Listening]:
    """The listeners of one table, either family; lines that are none are left out.

    Addresses are hexadecimal words in the byte order of the machine, ports in
    network order.
    """
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTEN:
            continue
        address, _, port = fields[1].partition(":")
        try:
            found.append(Listening(_address(address), int(port, 16), int(fields[9]), int(fields[7])))
        except (ValueError, struct.error):
            continue
    return found


def established(text: str) -> set[tuple[str, int]]:
    """The address and the port at the other end of every connection that stands, of one table."""
    found = set()
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 4 or fields[3] != _ESTABLISHED:
            continue
        address, _, port = fields[2].partition(":")
        try:
            found.add((_address(address), int(port, 16)))
        except (ValueError, struct.error):
            continue
    return found


def _address(words: str) -> str:
    count = len(words) // 8
    order = "<" if sys.byteorder == "little" else ">"
    packed = struct.pack(f"{order}{count}I", *(int(words[i * 8 : i * 8 + 8], 16) for i in range(count)))
    address = ipaddress.ip_address(packed)
    # A socket on ::ffff:A.B.C.D takes IPv4 only, and each Python writes such an address in its own way.
    return str(getattr(address, "ipv4_mapped", None) or address)


def reaches(listening: str, destination: str, *, v6_only: bool = False) -> bool:
    """Whether a socket bound to ``listening`` accepts a connection to ``destination`` (both plain addresses).

    ``::`` takes IPv4 too, unless the machine says ``net.ipv6.bindv6only=1``.
    """
    bound, wanted = ipaddress.ip_address(listening), ipaddress.ip_address(destination)
    if isinstance(bound, ipaddress.IPv6Address) and bound.ipv4_mapped:
        bound = bound.ipv4_mapped
    if not bound.is_unspecified:
        return bound == wanted
    return bound.version == wanted.version or (bound.version == 6 and not v6_only)


def is_loopback(address: str) -> bool:
    """Whether only the machine itself reaches the address."""
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def is_wildcard(address: str) -> bool:
    """Whether the address stands for all of them."""
    return ipaddress.ip_address(address).is_unspecified
