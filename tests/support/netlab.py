"""Machines elsewhere: network namespaces that the containers of this machine reach over a wire of their own."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.double import Double, start

_DNS = """
import socket, sys
name, address, listen = sys.argv[1:]
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((listen, 53))
while True:
    ask, peer = server.recvfrom(512)
    labels, at = [], 12
    while ask[at]:
        labels.append(ask[at + 1 : at + 1 + ask[at]].decode()); at += 1 + ask[at]
    kind = int.from_bytes(ask[at + 1 : at + 3], "big")
    known = ".".join(labels).lower() == name
    answers = known and kind == 1
    head = ask[:2] + (b"\\x81\\x80" if known else b"\\x81\\x83")
    head += b"\\0\\1" + (b"\\0\\1" if answers else b"\\0\\0") + b"\\0\\0\\0\\0"
    record = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + socket.inet_aton(address) if answers else b""
    server.sendto(head + ask[12 : at + 5] + record, peer)
"""


def run(*argv: str, check: bool = True) -> str:
    """Run to the end; a failure shows what was said."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert not (check and done.returncode), f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


@dataclass
class Elsewhere:
    """A machine of its own at ``address``; this machine is its gateway."""

    name: str
    address: str
    home: Path
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    doubles: list[Double] = field(default_factory=list)

    @property
    def prefix(self) -> Sequence[str]:
        """What goes before a command to run it there."""
        return ["ip", "netns", "exec", self.name]

    def double(self, name: str, *, port: int = 11434, **settings: object) -> Double:
        """A double of Ollama that listens there; reached from here by its address."""
        server = start(
            self.home / name,
            host=self.address,
            port=port,
            name=name,
            prefix=self.prefix,
            **settings,  # type: ignore[arg-type]
        )
        self.doubles.append(server)
        return server

    def resolver(self, name: str, address: str) -> None:
        """A DNS server there that knows one name."""
        child = subprocess.Popen([*self.prefix, sys.executable, "-c", _DNS, name, address, self.address])
        self.children.append(child)
        end = time.monotonic() + 10
        while f"{self.address}:53 " not in run(*self.prefix, "ss", "-Hlun"):
            assert time.monotonic() < end, "the DNS server does not listen"
            assert child.poll() is None, "the DNS server ended"
            time.sleep(0.02)

    def close(self) -> None:
        """End what runs there."""
        for server in self.doubles:
            server.stop()
        for child in self.children:
            child.terminate()
            child.wait(5)


@contextmanager
def elsewhere(home: Path) -> Iterator[Elsewhere]:
    """A namespace with a wire to this one, taken away whatever happens."""
    tag = secrets.token_hex(3)
    name, here, there = f"sct-e2e-{tag}", f"sct{tag}a", f"sct{tag}b"
    first, second = 64 + secrets.randbelow(63), secrets.randbelow(256)
    gateway, address = f"100.{first}.{second}.1", f"100.{first}.{second}.2"
    run("ip", "netns", "add", name)
    machine = Elsewhere(name, address, home)
    try:
        run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        run("ip", "addr", "add", f"{gateway}/30", "dev", here)
        run("ip", "link", "set", here, "up")
        for argv in (
            ["link", "set", "lo", "up"],
            ["addr", "add", f"{address}/30", "dev", there],
            ["link", "set", there, "up"],
            ["route", "add", "default", "via", gateway],
        ):
            run(*machine.prefix, "ip", *argv)
        yield machine
    finally:
        machine.close()
        run("ip", "netns", "del", name, check=False)
        run("ip", "link", "del", here, check=False)


def bridge_address() -> str:
    """The address under which containers reach this machine."""
    return run("docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").strip()
