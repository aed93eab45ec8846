"""A host and a LAN as network namespaces, with a Docker engine of their own inside.

    LAN  10.77.0.2, .3 (servers), .53 (DNS)  ── veth ──  host 10.77.0.1: dockerd, bridges from 10.78.0.0/16

``ip netns exec`` remounts /sys, and dockerd then finds no cgroups; ``nsenter
--net`` with a mount namespace of its own does not. Rules of firewalls are set
in here only. Every process is started by us and ended by its ID.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.lab import images
from tests.faults.lab.shell import run
from tests.support.inprocess import Worker

HOST, SERVER, OTHER, DNS = "10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.53"
ABSENT = "10.77.0.99"
ROOT = Path(__file__).resolve().parents[3]
ACTOR = Path(__file__).with_name("actor.py")
KEEPER = Path(__file__).with_name("keeper.py")


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for a condition; fail with its name."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about in {seconds:.0f} s"
        time.sleep(0.02)


@dataclass
class World:
    """The lab of one test process."""

    room: Path
    name: str
    daemon: subprocess.Popen[bytes] | None = None
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)
    worker: Worker | None = None

    @property
    def host_ns(self) -> str:
        """The namespace of the engine's host."""
        return f"{self.name}h"

    @property
    def lan_ns(self) -> str:
        """The namespace of the LAN's machines."""
        return f"{self.name}l"

    @property
    def socket(self) -> str:
        """The engine's address."""
        return f"unix://{self.room}/docker.sock"

    def within(self, space: str) -> list[str]:
        """The prefix that runs a command on ``host`` or in the ``lan``."""
        return ["nsenter", f"--net=/run/netns/{self.host_ns if space == 'host' else self.lan_ns}"]

    def at_home(self, *mounts: str) -> list[str]:
        """The prefix for the host with its own files: its resolver, and ``FROM:TO`` besides."""
        pairs = [f"{self.room}/resolv.conf:/etc/resolv.conf", f"{self.room}/hosts:/etc/hosts", *mounts]
        binds = " && ".join(
            "mkdir -p {1} && mount --bind {0} {1}".format(*p.split(":"))
            if Path(p.split(":")[0]).is_dir()
            else "mount --bind {} {}".format(*p.split(":"))
            for p in pairs
        )
        return [
            *self.within("host"),
            "unshare",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            f'{binds} && exec "$@"',
            "sh",
        ]

    def on(self, space: str, *argv: str, check: bool = True) -> str:
        """Run a command there; its standard output."""
        return run(*self.within(space), *argv, check=check, env=self.env()).stdout

    def env(self) -> dict[str, str]:
        """The environment of clients of this engine."""
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("DOCKER_", "COMPOSE_")) and "PROXY" not in k.upper()
        }
        return {**kept, "DOCKER_HOST": self.socket, "HOME": str(self.room), "PYTHONPATH": str(ROOT)}

    def docker(
        self, *argv: str, check: bool = True, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The ``docker`` command against this engine."""
        done = subprocess.run(
            [*self.within("host"), "docker", *argv],
            env={**self.env(), **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(argv)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(
        self,
        space: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        ready: tuple[str, int] | None = None,
    ) -> subprocess.Popen[Any]:
        """Start a process there; with ``ready``, wait until its port listens."""
        with (self.room / "actors.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.within(space), *argv],
                env={**self.env(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        if ready:
            until(
                lambda: self.listens(space, *ready) or process.poll() is not None,
                f"a listener on {ready[0]}:{ready[1]}",
            )
            assert process.poll() is None, (self.room / "actors.log").read_text()[-2000:]
        return process

    def actor(
        self, space: str, kind: str, /, *, ready: tuple[str, int] | None = None, **settings: Any
    ) -> subprocess.Popen[Any]:
        """Start one of the lab's own servers (see ``actor.py``)."""
        return self.start(space, [sys.executable, "-S", str(ACTOR), kind, json.dumps(settings)], ready=ready)

    def listens(self, space: str, protocol: str, port: int) -> bool:
        """Whether something listens on that port there."""
        flag = "-ltnH" if protocol == "tcp" else "-lunH"
        return bool(self.on(space, "ss", flag, f"sport = :{port}").strip())

    def end(self, process: subprocess.Popen[Any]) -> None:
        """End a process that we started, and wait for it."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(3)
        if process in self.processes:
            self.processes.remove(process)

    def stackctl(
        self, *argv: str, env: Mapping[str, str | None] | None = None, prefix: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Run stackctl on the host of the lab: ``{"code", "out", "err", "seconds"}``."""
        if prefix:
            begun = time.monotonic()
            merged = {**self.env(), **{k: v for k, v in (env or {}).items() if v is not None}}
            done = subprocess.run(
                [*self.at_home(*prefix), sys.executable, "-P", str(KEEPER), *argv],
                env=merged,
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            return {
                "code": done.returncode,
                "out": done.stdout,
                "err": done.stderr,
                "seconds": time.monotonic() - begun,
            }
        if self.worker is None:
            self.worker = Worker(self.env(), self.at_home(), KEEPER)
        return self.worker.run(argv, env)

    # -- making and unmaking ---------------------------------------------

    def make(self, **daemon: Any) -> None:
        """Namespaces, the link, DNS, the engine, its images."""
        (self.room / "resolv.conf").write_text(f"nameserver {DNS}\n")
        (self.room / "hosts").write_text("127.0.0.1 localhost\n")
        (self.room / "cdi").mkdir()
        (self.room / "cdi" / "nvidia.json").write_text(json.dumps(CDI))
        for space in (self.host_ns, self.lan_ns):
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
        a, b = f"{self.name}a", f"{self.name}b"
        run("ip", "link", "add", a, "netns", self.host_ns, "type", "veth", "peer", "name", b, "netns", self.lan_ns)
        run("ip", "-n", self.host_ns, "addr", "add", f"{HOST}/24", "dev", a)
        for address in (SERVER, OTHER, DNS):
            run("ip", "-n", self.lan_ns, "addr", "add", f"{address}/24", "dev", b)
        run("ip", "-n", self.host_ns, "link", "set", a, "up")
        run("ip", "-n", self.lan_ns, "link", "set", b, "up")
        run("ip", "-n", self.host_ns, "route", "add", "default", "via", SERVER)
        self.actor("lan", "dns", ready=("udp", 53), host=DNS, zone=ZONE)
        self.engine_up(**daemon)
        self.docker("load", "-q", "-i", str(images.archive()))

    def engine_up(self, **settings: Any) -> None:
        """Start dockerd with these settings on top of the lab's."""
        config = {
            "dns": [DNS],
            "default-address-pools": [{"base": "10.78.0.0/16", "size": 24}],
            "bip": "10.78.255.1/24",
            "hosts": [self.socket],
            "storage-driver": "overlay2",
            "log-level": "warn",
            **settings,
        }
        config = {k: v for k, v in config.items() if v is not None}
        (self.room / "daemon.json").write_text(json.dumps(config))
        command = (
            f"exec dockerd --data-root {self.room}/data --exec-root {self.room}/exec --pidfile {self.room}/docker.pid "
            f"--config-file {self.room}/daemon.json --containerd-namespace {self.name} "
            f"--containerd-plugins-namespace {self.name}p"
        )
        with (self.room / "dockerd.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                [*self.within("host"), "unshare", "-m", "--propagation", "slave", "sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if "PROXY" not in k.upper()},
            )
        until(lambda: self.docker("version", check=False).returncode == 0, "the lab's engine", 30)

    def engine_down(self) -> None:
        """End dockerd (it ends its containerd)."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.daemon.pid, signal.SIGKILL)
                self.daemon.wait(5)

    def unmake(self) -> None:
        """Take everything away again."""
        if self.worker is not None:
            self.worker.close()
        for process in list(self.processes):
            self.end(process)
        with suppress(AssertionError, subprocess.TimeoutExpired):
            ids = self.docker("ps", "-aq", check=False).stdout.split()
            if ids:
                self.docker("rm", "-f", *ids, check=False)
        self.engine_down()
        for space in (self.host_ns, self.lan_ns):
            run("ip", "netns", "del", space, check=False)
        for mount in reversed(
            [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(self.room) in line]
        ):
            run("umount", "-l", mount, check=False)
        with suppress(AssertionError):
            until(self._gone, "the removal of the lab's directory", 10)

    def _gone(self) -> bool:
        """Remove what is left: a layer may be busy for a moment after its engine has ended."""
        shutil.rmtree(self.room, ignore_errors=True)
        return not self.room.exists()


CDI = {
    "cdiVersion": "0.6.0",
    "kind": "nvidia.com/gpu",
    "devices": [{"name": "all", "containerEdits": {"env": ["LAB_GPU=1"]}}],
}
"""A GPU for the engine where there is none: see the Container Device Interface."""
ZONE = {
    "gpu.lan": [SERVER],
    "other.lan": [OTHER],
    "six.lan": ["fd00:77::2"],
    "gpu.intern": "NXDOMAIN",
    "*.wild.lan": ["203.0.113.7"],
}


@contextmanager
def world(**daemon: Any) -> Iterator[World]:
    """A world, made and taken away."""
    room = Path(tempfile.mkdtemp(prefix="sctlab-"))
    made = World(room, f"sctf{secrets.token_hex(3)}")
    try:
        made.make(**daemon)
        yield made
    finally:
        made.unmake()
