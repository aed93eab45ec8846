"""A Compose project of its own for one test: a unique name, and nothing left of it afterwards."""

from __future__ import annotations

import json
import secrets
import subprocess
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.cli import Ran, run_here, run_process

OLLAMA = "stackctl.local/ollama-double:dev"
BACKEND = "stackctl.local/backend:dev"
BUSYBOX = "stackctl.local/busybox:base"
MODEL = "tiny-chat"
CONSUMERS: dict[str, Any] = {"backend": {"env": {"OLLAMA_URL": "{url}", "OLLAMA_MODEL": "{model}"}}}
_HEALTHY = "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"
_ASK = """
import json, sys, urllib.request
ask = urllib.request.Request("http://127.0.0.1:8000/chat", json.dumps({"prompt": "who are you?"}).encode())
lines = [json.loads(line) for line in urllib.request.urlopen(ask, timeout=20)]
assert lines[-1]["type"] == "end", lines
print(json.dumps({"ollama": lines[0]["ollama"], "text": "".join(l.get("text", "") for l in lines)}))
"""


def docker(*arguments: str, check: bool = True, stdin: str | None = None) -> str:
    """Run ``docker ARGUMENTS`` and return what it said."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=False, input=stdin)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def backend(**settings: Any) -> dict[str, Any]:
    """The reference backend as a service, told an Ollama at ``ollama``."""
    return {
        "image": BACKEND,
        "init": True,
        "environment": {"OLLAMA_URL": "http://ollama:11434", "OLLAMA_MODEL": MODEL},
        "healthcheck": {"test": ["CMD", "python3", "-c", _HEALTHY], "interval": "1s", "retries": 30},
        **settings,
    }


def bystander(**settings: Any) -> dict[str, Any]:
    """A service that has nothing to do with the project's Ollama: the same program, told another's address."""
    return backend(environment={"OLLAMA_URL": "http://127.0.0.1:9", "OLLAMA_MODEL": MODEL}, **settings)


def ollama(name: str = "local-double", **settings: Any) -> dict[str, Any]:
    """The double as the project's own Ollama service."""
    return {
        "image": OLLAMA,
        "environment": {"OLLAMA_DOUBLE_NAME": name, "OLLAMA_DOUBLE_MODELS": MODEL},
        "volumes": ["models:/root/.ollama"],
        **settings,
    }


VOLUMES: dict[str, Any] = {"models": {"labels": {"io.stackctl.test": "1"}}}


@dataclass
class Project:
    """One project directory and its containers. ``env`` is what stackctl is run with."""

    directory: Path
    name: str
    env: dict[str, str | None] = field(default_factory=dict)
    networks: list[str] = field(default_factory=list)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project; ``text`` may be indented, and ``PROJECT`` in it is the project's name."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n").replace("PROJECT", self.name))
        return path

    def compose(self, services: Mapping[str, Any], **top: Any) -> None:
        """Write ``compose.yaml``; every service is labelled as a test's."""
        labelled = {n: {"labels": {"io.stackctl.test": "1"}, **s} for n, s in services.items()}
        self.write("compose.yaml", yaml.safe_dump({"name": self.name, "services": labelled, **top}, sort_keys=False))

    def config(self, **settings: Any) -> None:
        """Write ``stackctl.yaml``: a backend as the consumer and no GPU, unless it says otherwise."""
        whole = {"version": 1, "consumers": CONSUMERS, "models": [MODEL], "local": {"gpu": "none"}, **settings}
        self.write("stackctl.yaml", yaml.safe_dump(whole, sort_keys=False))

    def stackctl(self, *arguments: str, env: Mapping[str, str | None] | None = None) -> Ran:
        """Run stackctl here, in this process."""
        return run_here("-C", self.directory, *arguments, env={**self.env, **(env or {})})

    def process(self, *arguments: str, env: Mapping[str, str | None] | None = None, **options: Any) -> Ran:
        """Run stackctl here, as a process of its own."""
        return run_process(*arguments, cwd=self.directory, env={**self.env, **(env or {})}, **options)

    def containers(self, *, everything: bool = True) -> dict[str, dict[str, Any]]:
        """Service to its inspected container; ``everything`` counts those that do not run."""
        flags = ["--all"] if everything else []
        ids = docker("ps", *flags, "--quiet", "--filter", f"label=com.docker.compose.project={self.name}").split()
        found = json.loads(docker("inspect", *ids)) if ids else []
        return {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in found}

    def running(self) -> set[str]:
        """Services that run."""
        return set(self.containers(everything=False))

    def marks(self) -> dict[str, tuple[str, str]]:
        """Service to ID and start of its container: equal marks are an untouched stack."""
        return {s: (c["Id"], c["State"]["StartedAt"]) for s, c in self.containers().items()}

    def exec(self, service: str, *argv: str) -> str:
        """Run something in a service's container and return what it said."""
        return docker("exec", self.containers()[service]["Id"], *argv)

    def chat(self, service: str = "backend") -> dict[str, str]:
        """One turn through the backend: the address that it uses, and the answer, which names its server."""
        found: dict[str, str] = json.loads(self.exec(service, "python3", "-c", _ASK))
        return found

    def state(self) -> dict[str, Any] | None:
        """What ``state.json`` holds."""
        path = self.directory / ".stackctl" / "state.json"
        return json.loads(path.read_text()) if path.exists() else None

    def files(self) -> dict[str, bytes]:
        """Every file of ``.stackctl/`` with its bytes; not the log of who did what."""
        root = self.directory / ".stackctl"
        return {
            str(p.relative_to(root)): p.read_bytes()
            for p in sorted(root.rglob("*"))
            if p.is_file() and p.name not in ("audit.log", "lock") and "evidence" not in p.parts
        }

    def clean(self) -> None:
        """Remove every container, network and volume of the project, and what was named for it.

        A Compose whose stackctl a test has killed may still be at work; so until nothing is left.
        """
        mine = f"label=com.docker.compose.project={self.name}"
        end = time.monotonic() + 20
        while True:
            if ids := docker("ps", "--all", "--quiet", "--filter", mine).split():
                docker("rm", "--force", "--volumes", *ids, check=False)
            networks = docker("network", "ls", "--quiet", "--filter", mine).split()
            if networks:
                docker("network", "rm", *networks, check=False)
            volumes = docker("volume", "ls", "--quiet", "--filter", mine).split()
            if volumes:
                docker("volume", "rm", "--force", *volumes, check=False)
            if not (ids or networks or volumes):
                break
            assert time.monotonic() < end, f"{self.name} cannot be cleaned up: {ids + networks + volumes}"
        for name in self.networks:
            docker("network", "rm", name, check=False)


@contextmanager
def project(directory: Path, area: str) -> Iterator[Project]:
    """A project directory with a name of its own; whatever it started is gone afterwards."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Project(directory, f"sct-{area}-{secrets.token_hex(4)}")
    try:
        yield made
    finally:
        made.clean()


def missing_images(references: Sequence[str]) -> list[str]:
    """Those of the project's own images that the engine lacks."""
    return [r for r in references if not docker("image", "ls", "--quiet", r).strip()]
