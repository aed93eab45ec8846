"""The stack that ``make chaos`` breaks: switches in processes of their own, and what must hold after each blow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.cli import PROGRAM, Ran, environment  # noqa: E402
from tests.support.double import Double, double  # noqa: E402
from tests.support.netlab import bridge_address  # noqa: E402
from tests.support.project import MODEL, VOLUMES, Project, backend, docker, ollama, project  # noqa: E402

SERVERS = {"local": "local-double", "host": "host-double"}
"""What a target's server calls itself in its answers."""


@dataclass
class Stage:
    """A stack with a local Ollama and one on the host; ``gateway`` puts a gateway between.

    ``prefix`` goes before every command, such as one that enters a namespace.
    """

    project: Project
    gateway: bool
    prefix: Sequence[str] = ()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start stackctl as the leader of a process group, and return at once."""
        env = environment({**self.project.env, "PYTHONPATH": str(ROOT)})
        return subprocess.Popen(
            [*self.prefix, *PROGRAM, *arguments],
            cwd=self.project.directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> Ran:
        """Run stackctl to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return Ran(process.returncode, out, err)

    def at_work(self, process: subprocess.Popen[str]) -> None:
        """Wait until this process holds the project's lock, or has ended."""
        lock = self.project.directory / ".stackctl" / "lock"
        while process.poll() is None:
            try:
                if json.loads(lock.read_text())["pid"] == process.pid:
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.005)

    def begun(self, process: subprocess.Popen[str]) -> None:
        """Wait until this process has written its journal's first line, or has ended."""
        journal = self.project.directory / ".stackctl" / "journal.jsonl"
        while process.poll() is None and not journal.exists():
            time.sleep(0.005)

    def where(self) -> str:
        """The profile in force."""
        return str((self.project.state() or {}).get("profile"))

    def picture(self) -> dict[str, Any]:
        """What an interrupt must leave as it was: what runs, what the backend is told, our files."""
        found = self.project.containers()
        told = found["backend"]["Config"]["Env"] if "backend" in found else None
        return {
            "running": sorted((s, c["State"]["Status"]) for s, c in found.items()),
            "told": sorted(told or ()),
            "files": self.project.files(),
        }

    def wrong(self, among: Sequence[str] = tuple(SERVERS)) -> str:
        """Why the stack is not whole: empty where it is, on one of the targets in ``among``."""
        state = self.project.state()
        if state is None or not state["verified"]:
            return f"the state is {state}"
        if state["profile"] not in among:
            return f"it is on {state['profile']}, which nobody asked for"
        if left := [n for n in ("journal.jsonl",) if (self.project.directory / ".stackctl" / n).exists()]:
            return f"left behind: {left}"
        label = f"label=com.docker.compose.project={self.project.name}"
        names = docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").split()
        found = self.project.containers()
        services = {"backend"} | ({"ollama"} if state["profile"] == "local" else set())
        services |= {"stackctl-gateway"} if self.gateway else set()
        if set(found) != services or len(names) != len(services):
            return f"on {state['profile']} there are the containers {names}"
        told = dict(e.partition("=")[::2] for e in found["backend"]["Config"]["Env"]).get("OLLAMA_URL")
        if told != state["url"]:
            return f"the backend is told {told}, and the state says {state['url']}"
        return self._unreached(SERVERS[state["profile"]])

    def _unreached(self, name: str) -> str:
        end, said = time.monotonic() + 15, ""
        while time.monotonic() < end:
            try:
                said = self.project.chat()["text"]
            except (AssertionError, ValueError) as error:
                said = str(error)[-200:]
            if f"This is {name}" in said:
                return ""
            time.sleep(0.2)
        return f"{name} should answer, and the backend got: {said}"


def kill_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to the whole group of a process that leads one; nothing where it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, number)


@contextmanager
def host_double(folder: Path, **settings: Any) -> Iterator[Double]:
    """The Ollama on the host; with a ``prefix``, in another network namespace."""
    settings = {"host": bridge_address(), **settings}
    with double(folder / "host", name="host-double", models=[MODEL], **settings) as server:
        yield server


@contextmanager
def stage(folder: Path, server: Double, *, gateway: bool = False, prefix: Sequence[str] = ()) -> Iterator[Stage]:
    """A stack that is up, has been on both targets, and is gone afterwards."""
    with project(folder / ("gateway" if gateway else "plain"), "chaos") as made:
        made.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
        made.config(instances={"host": {"url": f"http://localhost:{server.port}"}}, gateway=gateway)
        ready = Stage(made, gateway, prefix)
        for arguments in (["up", "local"], ["switch", "host"], ["switch", "local"]):
            ran = ready.run(*arguments)
            if ran.code:
                raise SystemExit(f"stackctl {' '.join(arguments)} ended with {ran.code}:\n{ran.text}")
        yield ready
