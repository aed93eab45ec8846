"""Machines made of network namespaces: a server, the stack that may reach it, and a stranger.

Everything happens in namespaces with random names; the machine's own firewall
and addresses are never touched.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

INSTALLER = "scripts/test-host-tools"


def need(*programs: str) -> None:
    """Demand real programs: a failure in CI, a skip with the remedy elsewhere."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = [p for p in programs if shutil.which(p, path=path) is None]
    reason = f"{', '.join(missing)} missing: run {INSTALLER}" if missing else ""
    if not reason and os.geteuid() != 0:
        reason = "network namespaces need root"
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def run(argv: Sequence[str], *, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
    """Run to the end; a failure shows what was said."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload]
    if check and done.returncode != 0:
        pytest.fail(f"{shlex.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done  # type: ignore[no-any-return]


def wait_for(what: str, true: Callable[[], bool], *, seconds: float = 45) -> None:
    """Wait until a condition holds; fail with its name when it does not come to hold."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)


@dataclass
class Machine:
    """One namespace. ``binds`` are directories laid over others for what runs here: target to source."""

    name: str
    binds: dict[str, Path] = field(default_factory=dict)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def argv(self, argv: Sequence[str]) -> list[str]:
        inside = ["ip", "netns", "exec", self.name]
        if not self.binds:
            return [*inside, *argv]
        mounts = "; ".join(f"mount --bind {shlex.quote(str(s))} {shlex.quote(t)}" for t, s in self.binds.items())
        return [*inside, "unshare", "-m", "sh", "-euc", f'{mounts}; exec "$@"', "sh", *argv]

    def run(self, *argv: str, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        return run(self.argv(argv), check=check, **options)

    def start(self, *argv: str, **options: object) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(self.argv(argv), **options)  # type: ignore[call-overload]
        self.children.append(child)
        return child  # type: ignore[no-any-return]

    def connects(self, address: str, port: int, *, timeout: float = 1.0) -> str:
        """``open``, or the name of the errno, or ``timeout``."""
        script = (
            "import socket,sys,errno\n"
            "try:\n socket.create_connection((sys.argv[1],int(sys.argv[2])),float(sys.argv[3])).close();print('open')\n"
            "except TimeoutError: print('timeout')\n"
            "except OSError as e: print(errno.errorcode.get(e.errno, str(e)))\n"
        )
        return self.run(sys.executable, "-c", script, address, str(port), str(timeout)).stdout.strip()

    def listening(self, port: int) -> bool:
        return f":{port} " in self.run("ss", "-Hltn").stdout

    def listen(self, port: int, address: str = "::") -> None:
        """A listener that answers everything with the greeting of an Ollama."""
        script = (
            "import http.server,socket,sys\n"
            "class H(http.server.BaseHTTPRequestHandler):\n"
            " def do_GET(self):\n  self.send_response(200);self.end_headers();self.wfile.write(b'Ollama is running')\n"
            " def log_message(self,*a): pass\n"
            "class S(http.server.ThreadingHTTPServer):\n"
            " address_family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET\n"
            "S((sys.argv[1],int(sys.argv[2])),H).serve_forever()\n"
        )
        self.start(sys.executable, "-c", script, address, str(port))
        wait_for(f"a listener on {port}", lambda: self.listening(port))

    def close(self) -> None:
        for child in reversed(self.children):
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(5)
        pids = run(["ip", "netns", "pids", self.name], check=False).stdout.split()
        for pid in pids:
            run(["kill", "-9", pid], check=False)
        run(["ip", "netns", "del", self.name], check=False)


@dataclass
class Lab:
    """``server`` is reached by ``stack`` and by ``stranger``, each over a wire of its own."""

    server: Machine
    stack: Machine
    stranger: Machine
    stack_net = "10.203.1.0/24"
    stack_net6 = "fd5c:1::/64"
    by_stack = ("10.203.1.1", "fd5c:1::1")
    by_stranger = ("10.203.2.1", "fd5c:2::1")

    def verdicts(self, port: int = 11434) -> dict[str, str]:
        """Who gets in, by either family.

        Two seconds and more, because over a veth pair a refusal of the first
        packet can arrive while the kernel still holds the socket; the second,
        sent after one second, counts.
        """
        tries = {
            "stack4": (self.stack, self.by_stack[0]),
            "stack6": (self.stack, self.by_stack[1]),
            "stranger4": (self.stranger, self.by_stranger[0]),
            "stranger6": (self.stranger, self.by_stranger[1]),
            "itself": (self.server, "127.0.0.1"),
        }
        with ThreadPoolExecutor() as pool:
            answers = {who: pool.submit(m.connects, a, port, timeout=4) for who, (m, a) in tries.items()}
            return {who: answer.result() for who, answer in answers.items()}


def _wire(server: Machine, other: Machine, number: int) -> None:
    tag = server.name.rsplit("-", 1)[-1]
    here, there = f"s{number}{tag}", f"p{number}{tag}"
    run(["ip", "link", "add", here, "netns", server.name, "type", "veth", "peer", "name", there, "netns", other.name])
    for machine, device, host in ((server, here, 1), (other, there, 2)):
        machine.run("ip", "addr", "add", f"10.203.{number}.{host}/24", "dev", device)
        machine.run("ip", "addr", "add", f"fd5c:{number}::{host}/64", "dev", device, "nodad")
        machine.run("ip", "link", "set", device, "up")


@contextmanager
def make_lab() -> Iterator[Lab]:
    """Three namespaces with their wires, taken away whatever happens."""
    tag = secrets.token_hex(3)
    made: list[Machine] = []
    try:
        for role in ("server", "stack", "other"):
            run(["ip", "netns", "add", f"sct-host-{role}-{tag}"])
            machine = Machine(f"sct-host-{role}-{tag}")
            made.append(machine)
            machine.run("ip", "link", "set", "lo", "up")
        lab = Lab(*made)
        _wire(lab.server, lab.stack, 1)
        _wire(lab.server, lab.stranger, 2)
        yield lab
    finally:
        for machine in made:
            machine.close()


def unit_values(text: str, key: str) -> list[list[str]]:
    """Commands of a unit file's ``key``, as systemd would split them (systemd.service(5), "Command lines")."""
    commands = []
    for line in re.findall(rf"^{key}=(.*)$", text, flags=re.MULTILINE):
        words = [json.loads(w) if w.startswith('"') else w for w in re.findall(r'"(?:\\.|[^"\\])*"|\S+', line)]
        words[0] = words[0].lstrip("-@:+!")
        commands.append([w.replace("%%", "%").replace("$$", "$") for w in words])
    return commands
