"""What the engine shows of a project, and what the clients in its containers reach. No word of stackctl is asked."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.project import Project, docker
from tests.zoo.files import service
from tests.zoo.scenario import Consumer, Scenario

_HERE = Path(__file__).parent / "clients"
_CLIENTS = {
    "python": (("python3", "-"), (_HERE / "python.txt").read_text()),
    "busybox": (("sh", "-s"), (_HERE / "busybox.sh").read_text()),
}


@dataclass(frozen=True)
class Container:
    """One container, as far as the judge looks."""

    id: str
    service: str
    running: bool
    mode: str
    networks: frozenset[str]
    namespace: str
    hash: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Look:
    """All containers of a project, and its networks."""

    containers: tuple[Container, ...]
    networks: frozenset[str]

    @property
    def ids(self) -> frozenset[str]:
        """The running containers."""
        return frozenset(c.id for c in self.containers if c.running)

    def of(self, name: str) -> list[Container]:
        """The running containers of a service."""
        return [c for c in self.containers if c.service == name and c.running]


def look(project: Project) -> Look:
    """What is there now."""
    mine = ("--filter", f"label=com.docker.compose.project={project.name}")
    ids = docker("ps", "--all", "--quiet", "--no-trunc", *mine).split()
    found = json.loads(docker("inspect", *ids)) if ids else []
    networks = docker("network", "ls", "--format", "{{.Name}}", *mine).split()
    return Look(tuple(sorted(map(_container, found), key=lambda c: (c.service, c.id))), frozenset(networks))


def inspected(container: str) -> Container:
    """One container that is of no project."""
    return _container(json.loads(docker("inspect", container))[0])


def _container(raw: dict[str, Any]) -> Container:
    labels = raw["Config"]["Labels"] or {}
    return Container(
        raw["Id"],
        labels.get("com.docker.compose.service", ""),
        raw["State"]["Running"],
        raw["HostConfig"]["NetworkMode"],
        frozenset(raw["NetworkSettings"]["Networks"]),
        raw["NetworkSettings"]["SandboxKey"],
        labels.get("com.docker.compose.config-hash", ""),
        dict(e.partition("=")[::2] for e in raw["Config"]["Env"] or []),
    )


def reached(s: Scenario, seen: Look, patience: float = 0.0) -> dict[str, str]:
    """Service of each consumer to the server that its own client reaches: in all its containers, or a failure.

    ``patience`` is how many seconds a server may take to listen, where nobody said that it does.
    """
    jobs = [(service(n), c, box) for n, c in enumerate(s.consumers) for box in seen.of(service(n))]
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(lambda job: asked(job[2].id, job[1], patience), jobs))
    found: dict[str, set[str]] = {service(n): set() for n, _ in enumerate(s.consumers)}
    for (name, _, _), answer in zip(jobs, answers, strict=True):
        found[name].add(answer)
    return {name: " and ".join(sorted(answers)) or "no container" for name, answers in found.items()}


def asked(container: str, consumer: Consumer, patience: float = 0.0) -> str:
    """The server that the client in one container reaches, or how it fails."""
    argv, text = _CLIENTS[consumer.runtime]
    end = time.monotonic() + patience
    while True:
        done = subprocess.run(
            ["docker", "exec", "-i", container, *argv, consumer.form],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
        if time.monotonic() > end:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"ended with {done.returncode}"]
            return f"fails: {lines[-1].strip()[:160]}"
        time.sleep(0.2)
