"""Who takes a project on its walk: stackctl, or a person with plain ``docker compose``."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.cli import Ran, environment, run_here
from tests.support.project import Project
from tests.zoo.files import environment as shell_of
from tests.zoo.files import service
from tests.zoo.scenario import MOVABLE, Consumer, Scenario
from tests.zoo.servers import TOKEN, Servers


@dataclass
class Stackctl:
    """stackctl, as its documents say that it is used; a sabotaged one is a subclass."""

    project: Project
    scenario: Scenario
    servers: Servers

    def step(self, name: str) -> Ran:
        """Take one step of the walk."""
        words = {"up": ("up",), "switch": ("switch", "target"), "local": ("switch", "local")}
        if name == "init":
            ran = self._run("init", "--yes", env=shell_of(self.scenario))
            return self._told(ran) if ran.code == 0 else ran
        return self._run(*words.get(name, (name,)))

    def status(self) -> Mapping[str, bool] | None:
        """Service to whether stackctl says that it reaches its Ollama."""
        ran = self._run("status", "--json")
        if ran.code not in (0, 1):
            raise AssertionError(f"status ended with {ran.code}: {ran.text}")
        found: dict[str, bool] = {}
        for entry in json.loads(ran.out).get("consumers", []):
            found[entry["service"]] = found.get(entry["service"], True) and bool(entry["ok"])
        return found

    def _run(self, *words: str, env: Mapping[str, str] | None = None) -> Ran:
        return run_here("-C", self.project.directory, *words, env={"ZOO_TOKEN": TOKEN, **(env or {})})

    def _told(self, ran: Ran) -> Ran:
        """What a person adds to the file that ``init`` wrote: the target, the gateway, a token's variable."""
        path = self.project.directory / "stackctl.yaml"
        config = yaml.safe_load(path.read_text())
        config.setdefault("instances", {})["target"] = self.servers.instance(self.scenario.target)
        if self.scenario.gateway:
            config["gateway"] = True
        for number, consumer in enumerate(self.scenario.consumers):
            if consumer.carries and not self.scenario.gateway:
                declared = config.get("consumers", {}).get(service(number)) or {}
                declared.setdefault("env", {})["OLLAMA_TOKEN"] = "{token}"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return ran


@dataclass
class ByHand:
    """``docker compose`` and an override written by hand; what that cannot do is refused."""

    project: Project
    scenario: Scenario
    servers: Servers

    def step(self, name: str) -> Ran:
        """Take one step of the walk."""
        if name == "init":
            return Ran(0, "", "")
        moved = name == "switch"
        if moved and not self._can():
            return Ran(1, "", "error: by hand that is not done")
        override = self.project.write("by-hand.yaml", yaml.safe_dump(self._override() if moved else {"services": {}}))
        try:
            env = shell_of(self.scenario)
            files = env.pop("COMPOSE_FILE", "")
            if not files:
                other = "compose.override.yaml"
                files = f"compose.yaml:{other}" if (self.project.directory / other).exists() else "compose.yaml"
            env["COMPOSE_FILE"] = f"{files}:{override.name}" if moved else files
            done = compose(self.project, "--profile", "batch", "up", "--detach", env=env)
        finally:
            override.unlink()
        return Ran(done.returncode, done.stdout, done.stderr)

    def status(self) -> None:
        """It has none."""

    def _can(self) -> bool:
        plain = all(c.form in MOVABLE and c.place == "own" and not c.proxy for c in self.scenario.consumers)
        return plain and not self.scenario.gateway and self.scenario.target in ("host", "neighbour")

    def _override(self) -> dict[str, Any]:
        url = self.servers.instance(self.scenario.target)["url"]
        return {"services": {service(n): {"environment": _told(c, url)} for n, c in enumerate(self.scenario.consumers)}}


def _told(c: Consumer, url: str) -> dict[str, str]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return {
        "env": {"OLLAMA_URL": url},
        "env_file": {"OLLAMA_BASE_URL": url},
        "parts": {"OLLAMA_HOST": host, "OLLAMA_PORT": port},
        "v1": {"OPENAI_API_BASE": f"{url}/v1"},
        "endpoint": {"OLLAMA_ENDPOINT": f"{url}/api/generate"},
    }[c.form]


def compose(project: Project, *words: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``docker compose`` in the project's directory."""
    return subprocess.run(
        ["docker", "compose", *words],
        cwd=project.directory,
        env={**environment(), "PWD": os.fspath(project.directory), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
