"""The resolver of this machine: ``/etc/hosts``, mDNS and DNS, as the machine is set up."""

from __future__ import annotations

import socket
from pathlib import Path


class SystemNames:
    """Behind :class:`stackctl.ports.HostNames`."""

    def device_group(self, path: str) -> int | None:
        """The owning group's ID; None where there is no such device."""
        try:
            return Path(path).stat().st_gid
        except OSError:
            return None

    def resolve(self, name: str) -> list[str]:
        """Addresses, IPv4 first, each once; empty where the name does not resolve."""
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        addresses = [str(entry[4][0]) for entry in sorted(found, key=lambda e: e[0] != socket.AF_INET)]
        return list(dict.fromkeys(addresses))

    def is_own(self, host: str) -> bool:
        """Whether the kernel takes one of its addresses for one of this machine's: only then can it be bound."""
        return any(_binds(address) for address in self.resolve(host))


def _binds(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
