"""An engine of its own that may be stopped: in a network namespace, with its own data; and switches across its stop."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from bench.chaos_stage import Stage, host_double, stage
from bench.figures import Figure
from tests.support.project import BACKEND, BUSYBOX, OLLAMA

ADDRESS = "10.79.255.1"


@dataclass
class PrivateEngine:
    """dockerd in a namespace; nothing of it is left after :meth:`remove`."""

    room: Path
    name: str = field(default_factory=lambda: f"sctc{secrets.token_hex(3)}")
    daemon: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """For ``DOCKER_HOST``."""
        return f"unix://{self.room}/s"

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "hosts": [self.host],
            "bip": f"{ADDRESS}/24",
            "default-address-pools": [{"base": "10.79.0.0/16", "size": 24}],
            "log-level": "warn",
        }
        (self.room / "daemon.json").write_text(json.dumps(settings))
        # `ip netns exec` mounts /sys anew, in which dockerd finds no cgroups; nsenter does not.
        argv = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "-m", "--propagation", "slave", "dockerd"]
        argv += ["--data-root", f"{self.room}/d", "--exec-root", f"{self.room}/x", "--pidfile", f"{self.room}/p"]
        argv += ["--config-file", f"{self.room}/daemon.json", "--containerd-namespace", self.name]
        argv += ["--containerd-plugins-namespace", f"{self.name}p"]
        env = {k: v for k, v in os.environ.items() if "PROXY" not in k.upper() and k != "DOCKER_HOST"}
        with (self.room / "log").open("ab") as log:
            self.daemon = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=env
            )
        until(self.answers, "the private engine answers")

    def answers(self) -> bool:
        """Whether it does now."""
        argv = ["docker", "-H", self.host, "version"]
        return subprocess.run(argv, capture_output=True, timeout=30, check=False).returncode == 0

    def stop(self) -> None:
        """End it as an init system would."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(self.daemon.pid, signal.SIGKILL)
                self.daemon.wait(5)

    def load(self, *images: str) -> None:
        """Copy images from the machine's engine."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as save:
            load = ["docker", "-H", self.host, "load", "-q"]
            subprocess.run(load, stdin=save.stdout, capture_output=True, check=True)

    def remove(self) -> None:
        """Stop it and take everything away."""
        self.stop()
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([m for m in mounts if m.startswith(f"{self.room}/")]):
            subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
        shutil.rmtree(self.room, ignore_errors=True)


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition; a condition that does not come is an error."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain until {what}")
        time.sleep(0.05)


@contextmanager
def private_engine(*images: str) -> Iterator[PrivateEngine]:
    """A running engine with the project's images, and ``images``; ``DOCKER_HOST`` points at it meanwhile."""
    # Its sockets lie below: a path to one may have 107 characters (unix(7)), which a test's own directory uses up.
    made = PrivateEngine(Path(tempfile.mkdtemp(prefix="sct-e-")))
    try:
        subprocess.run(["ip", "netns", "add", made.name], check=True)
        subprocess.run(["ip", "-n", made.name, "link", "set", "lo", "up"], check=True)
        made.start()
        made.load(OLLAMA, BACKEND, BUSYBOX, *images)
        with mock.patch.dict(os.environ, {"DOCKER_HOST": made.host}):
            yield made
    finally:
        made.remove()


def engine_stops(folder: Path, count: int, dice: random.Random) -> Iterator[Figure]:
    """The engine stopped in the middle of a switch and started again; then ``up`` or ``rollback``."""
    with private_engine() as engine:
        inside = ["nsenter", f"--net=/run/netns/{engine.name}"]
        with host_double(folder / "own", host=ADDRESS, prefix=inside, wait=False, port=11999) as server:
            until(lambda: "Listening on" in server.log, "the double listens")
            # The engine's networks are this namespace's: stackctl runs there, as on the engine's machine.
            with stage(folder / "own", server, prefix=inside) as made:
                yield _stops(engine, made, count, dice)


def _stops(engine: PrivateEngine, made: Stage, count: int, dice: random.Random) -> Figure:
    good, codes = 0, []
    for number in range(1, count + 1):
        before = made.where()
        target = "local" if before == "host" else "host"
        verb, moment = dice.choice(("up", "rollback")), dice.uniform(0, 2)
        process = made.start("switch", target)
        made.at_work(process)
        end = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        engine.stop()
        out, err = process.communicate(timeout=300)
        codes.append(process.returncode)
        engine.start()
        ran = made.run(verb)
        bad = f"exit code {ran.code}:\n{ran.text}" if ran.code else made.wrong([before, target])
        good += not bad
        if bad:
            label = f"engine {number}: stopped {moment:.2f} s into switch {target}, which ended with {codes[-1]}"
            print(f"    ! {label}; then {verb}: {bad}\n{out}{err}", flush=True)
            made.run("up")
    detail = f"{good} of {count}; the switches ended with {', '.join(map(str, codes))}"
    return Figure("engine stopped and started in a switch: left half done", count - good, 0, "", detail)
