"""The way back, and what changed behind our back, on the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Ran
from tests.support.double import Double, double
from tests.support.netlab import bridge_address
from tests.support.project import MODEL, Project, docker
from tests.support.twoservers import answered_by, prepare, refused


def test_rollback_and_history(stack: Project, host_double: Double) -> None:
    prepare(stack, host_double)
    refused(stack.stackctl("rollback"), 1, "no earlier verified target")
    stack.stackctl("up", "local").ok()
    stack.stackctl("switch", "host").ok()
    stack.stackctl("rollback").ok()
    answered_by(stack, "local-double")
    stack.stackctl("rollback").ok()
    answered_by(stack, "host-double")
    entries = stack.stackctl("history", "--json").ok().json["entries"]
    assert [(e["verb"], e["from"], e["to"], e["outcome"]) for e in entries] == [
        ("up", None, "local", "verified"),
        ("switch", "local", "host", "verified"),
        ("rollback", "host", "local", "verified"),
        ("rollback", "local", "host", "verified"),
    ]
    assert all(e["user"] and e["at"] and e["seconds"] > 0 for e in entries)
    assert "rollback" in stack.stackctl("history").ok().out


def test_drift_behind_our_back(stack: Project, host_double: Double) -> None:
    prepare(stack, host_double)
    stack.stackctl("up", "host").ok()
    override = stack.directory / ".stackctl" / "override.yaml"
    good = override.read_text()
    override.write_text(good.replace(str(host_double.port), "1"))
    drift = stack.stackctl("status", "--json").ok().json["drift"]
    assert "the override was edited by hand" in drift
    override.write_text(good)
    assert stack.stackctl("status", "--json").ok().json["drift"] == []

    docker("compose", "--project-directory", str(stack.directory), "up", "--detach", "--no-deps", "backend")
    drift = stack.stackctl("status", "--json").ok().json["drift"]
    assert any("backend is told http://ollama:11434, and not host" in line for line in drift)
    assert any(line.startswith("backend: its configuration differs") for line in drift)
    stack.stackctl("up").ok()
    answered_by(stack, "host-double")
    assert stack.stackctl("status", "--json").ok().json["drift"] == []


def test_a_pin_that_moved(stack: Project, tmp_path: Path) -> None:
    hosts, name = tmp_path / "hosts", f"{stack.name}.local"

    def here(*arguments: str, address: str) -> Ran:
        hosts.write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        cover = ("unshare", "--mount", "sh", "-euc", f'mount --bind {hosts} /etc/hosts; exec "$@"', "sh")
        return stack.process(*arguments, prefix=cover)

    address = bridge_address()
    with double(tmp_path / "pinned", host="0.0.0.0", name="pinned-double", models=[MODEL]) as server:
        prepare(stack, server, instances={"box": {"url": f"http://{name}:{server.port}"}})
        here("up", "box", address=address).ok()
        answered_by(stack, "pinned-double")
        assert here("status", "--json", address=address).ok().json["drift"] == []
        other = docker(
            "network", "inspect", f"{stack.name}_default", "--format", "{{(index .IPAM.Config 0).Gateway}}"
        ).strip()
        drift = here("status", "--json", address=other).ok().json["drift"]
        assert f"{name} is pinned to {address} and now resolves to {other}" in drift
        here("up", address=other).ok()
        assert here("status", "--json", address=other).ok().json["drift"] == []
        answered_by(stack, "pinned-double")


@pytest.mark.parametrize("running", ["all of it", "the Ollama only"])
def test_a_project_that_runs_already(running: str, stack: Project, host_double: Double) -> None:
    """Brought up by Compose alone: what fits stays, and a switch that fails leaves it as it was."""
    prepare(stack, host_double)
    services = ["ollama"] if "only" in running else []
    docker("compose", "--project-directory", str(stack.directory), "up", "--detach", *services)
    marks = stack.marks()
    refused(stack.stackctl("switch", "http://localhost:1"), 1, "localhost:1")
    assert stack.marks() == marks
    stack.stackctl("switch", "host").ok()
    answered_by(stack, "host-double")
    now = stack.marks()
    assert "ollama" not in now
    assert not services or "page" in now
    assert services or now["page"] == marks["page"]
    stack.stackctl("switch", "local").ok()
    answered_by(stack, "local-double")


def test_another_environment_and_changed_files(stack: Project, host_double: Double) -> None:
    """A switch does not apply what else has changed; ``up`` does. ``--env`` holds until another one is named."""
    prepare(stack, host_double, environments={"dev": {"files": ["dev.yaml"]}, "prod": {"files": ["prod.yaml"]}})
    for stage in ("dev", "prod"):
        stack.write(f"{stage}.yaml", f"services: {{backend: {{environment: {{STAGE: {stage}}}}}}}")
    stack.stackctl("up", "local", "--env", "dev").ok()
    page = stack.marks()["page"]
    compose = stack.directory / "compose.yaml"
    compose.write_text(compose.read_text().replace("  page:\n", "  page:\n    stop_grace_period: 2s\n"))
    stack.stackctl("switch", "host").ok()
    assert "STAGE=dev" in stack.containers()["backend"]["Config"]["Env"]
    assert stack.marks()["page"] == page
    assert any(line.startswith("page: ") for line in stack.stackctl("status", "--json").ok().json["drift"])
    stack.stackctl("switch", "local", "--env", "prod").ok()
    assert "STAGE=prod" in stack.containers()["backend"]["Config"]["Env"]
    answered_by(stack, "local-double")
    status = stack.stackctl("status", "--json").ok().json
    assert (status["environment"], status["profile"]) == ("prod", "local")
    stack.stackctl("up").ok()
    assert stack.marks()["page"] != page
    assert "STAGE=prod" in stack.containers()["backend"]["Config"]["Env"]
    assert stack.stackctl("status", "--json").ok().json["drift"] == []
