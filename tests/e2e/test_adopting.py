"""Real projects of the corpus, adopted and really brought up, with small images and a small model for theirs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.projects import CORPUS
from tests.support.double import Double
from tests.support.project import BACKEND, MODEL, OLLAMA, Project

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus is not there: {CORPUS}")
PROJECTS = {
    "wandb__openui": {"openui": {"OLLAMA_HOST": "{url}"}},
    "mmtxcode__intersight-chat": {"app": {"OLLAMA_BASE_URL": "{url}/v1", "OLLAMA_TAGS_URL": "{url}/api/tags"}},
    "BazoukaJo__Claude-Hybrid": {"router": {"ROUTER_OLLAMA_HOST": "{host}", "ROUTER_OLLAMA_PORT": "{port}"}},
    "danielloader__we-have-claude-desktop-at-home": {"app": {"APP_OLLAMA_URL": "{url}"}},
    "gomberman8__llm-email-router": {"api": {"OLLAMA_BASE_URL": "{url}/v1"}},
}
KEPT = {"environment", "depends_on", "networks", "profiles", "extra_hosts", "network_mode"}
"""What of a service stays the project's own: everything that the override is about."""


def compose(stack: Project, *arguments: str, override: bool = False) -> str:
    files = ["-f", named(stack), "-f", "small.yaml", *(["-f", ".stackctl/override.yaml"] if override else [])]
    done = subprocess.run(
        ["docker", "compose", *files, *arguments],
        cwd=stack.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def named(stack: Project) -> str:
    """The project's own Compose file: by the default names, Compose's overlays left out."""
    names = {p.name for p in stack.directory.glob("*compose.y*ml")}
    return next(n for n in ("compose.yaml", "docker-compose.yaml", "docker-compose.yml") if n in names)


def small(stack: Project, servers: set[str], pullers: set[str]) -> None:
    """A file after the project's own that gives each service a small image and takes away what it needs besides."""
    done = subprocess.run(
        ["docker", "compose", "-f", named(stack), "--profile", "*", "config", "--format", "json"],
        cwd=stack.directory,
        capture_output=True,
        text=True,
        check=True,
    )
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    lines = [f"name: {stack.name}", "services:"]
    for name, service in services.items():
        ours = {"image", "command", "entrypoint", "labels", "init", "healthcheck"}
        away = [key for key in service if key not in KEPT | ours]
        lines += [f"  {name}:", f"    image: {OLLAMA if name in servers else BACKEND}", "    init: true"]
        lines += ["    labels: {io.stackctl.test: '1'}", *(f"    {key}: !reset null" for key in away)]
        if name in servers:
            lines += ["    command: !override [serve]", "    entrypoint: !override [/bin/ollama]"]
            lines += [f"    environment: {{OLLAMA_DOUBLE_NAME: local-double, OLLAMA_DOUBLE_MODELS: {MODEL}}}"]
            lines += ["    healthcheck: !override {test: [CMD, ollama, list], interval: 1s, retries: 30}"]
        else:
            ends = name in pullers or service.get("restart") == "no"
            lines += [
                f"    entrypoint: !override {['true'] if ends else ['sleep', 'infinity']}",
                "    command: !override []",
            ]
            # Whoever waits for its health is to see it at once.
            lines += ["    healthcheck: !override {test: [CMD, 'true'], interval: 1s}"]
    stack.write("small.yaml", "\n".join(lines) + "\n")


def told(stack: Project, service: str) -> dict[str, str]:
    """The environment that the service's container was made with."""
    entries = stack.containers()[service]["Config"]["Env"]
    return {name: value for name, _, value in (e.partition("=") for e in entries)}


@pytest.mark.parametrize("name", PROJECTS)
def test_adopted_brought_up_switched_and_left_as_it_was(name: str, stack: Project, host_double: Double) -> None:
    shutil.copytree(CORPUS / name, stack.directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("meta.json"))
    for path in [stack.directory, *stack.directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    (stack.directory / ".env").touch()
    theirs = {p.name: p.read_bytes() for p in stack.directory.iterdir() if p.is_file()}

    found = stack.stackctl("init", "--json", "--yes", "-f", named(stack)).ok().json
    servers = {s["service"] for s in found["ollama_services"]}
    pullers = {c["service"] for c in found["consumers"] if c["role"] == "model-pull"}
    templates = PROJECTS[name]
    consumers = {c["service"]: c for c in found["consumers"] if c["role"] != "model-pull"}
    assert {s: {x["name"]: x["template"] for x in c["settings"]} for s, c in consumers.items()} == templates
    small(stack, servers, pullers)
    config = stack.directory / "stackctl.yaml"
    text = config.read_text().replace(f'files: ["{named(stack)}"]', f'files: ["{named(stack)}", "small.yaml"]')
    text = re.sub(r"(?m)^models: .*$", f"models: [{MODEL}]", text)
    config.write_text(text.replace("\nlocal:\n", "\nlocal:\n  gpu: none\n"))
    hashes = compose(stack, "config", "--hash", "*")

    def expect(host: str, port: int) -> None:
        filled = {"{url}": f"http://{host}:{port}", "{host}": host, "{port}": str(port)}
        for service, variables in templates.items():
            environment = told(stack, service)
            for variable, template in variables.items():
                value = template
                for placeholder, now in filled.items():
                    value = value.replace(placeholder, now)
                assert environment[variable] == value

    stack.stackctl("up", "local").ok()
    expect("ollama", 11434)
    stack.stackctl("switch", f"http://localhost:{host_double.port}").ok()
    expect("host.docker.internal", host_double.port)
    assert not servers & stack.running()
    stack.stackctl("switch", "local").ok()
    expect("ollama", 11434)
    assert servers <= stack.running()

    stack.stackctl("detach").ok()
    assert not (stack.directory / ".stackctl").exists()
    assert compose(stack, "config", "--hash", "*") == hashes
    assert {p: (stack.directory / p).read_bytes() for p in theirs} == theirs


def test_the_chosen_projects_are_there() -> None:
    assert all(Path(CORPUS / name / "meta.json").is_file() for name in PROJECTS)
