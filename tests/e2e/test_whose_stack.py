"""Which project a directory means, and whose the state in it is: as plain ``docker compose`` would have it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cli import Ran, environment, run_here, run_process
from tests.support.double import Double
from tests.support.project import VOLUMES, Project, backend, ollama, project


@pytest.fixture
def twin(stack: Project) -> Iterator[Project]:
    """Another project name in the same directory."""
    with project(stack.directory, "twin") as made:
        yield made


def write(stack: Project, **services: object) -> None:
    found = {"ollama": ollama(), "backend": backend(), **services}
    stack.write("compose.yaml", yaml.safe_dump({"services": found, "volumes": VOLUMES}))


def named(stack: Project, *arguments: str) -> Ran:
    return stack.stackctl(*arguments, env={"COMPOSE_PROJECT_NAME": stack.name})


def test_two_names_in_one_directory_are_two_stacks(stack: Project, twin: Project, host_double: Double) -> None:
    write(stack)
    named(stack, "init", "--yes").ok()
    named(stack, "up").ok()
    theirs = stack.marks()

    status = named(twin, "status", "--json").json
    assert (status["project"], status["verified"], status["services"]) == (twin.name, None, [])
    assert named(twin, "history", "--json").ok().json["entries"] == []
    named(twin, "up").ok()
    assert {"ollama", "backend"} <= twin.running()
    assert "local-double" in twin.chat()["text"]
    assert stack.marks() == theirs

    mine = twin.marks()
    named(stack, "switch", f"http://localhost:{host_double.port}").ok()
    assert twin.marks() == mine
    assert named(twin, "status", "--json").ok().json["profile"] == "local"
    assert [e["verb"] for e in named(twin, "history", "--json").ok().json["entries"]] == ["up"]
    assert named(twin, "rollback").code == 1

    named(stack, "detach").ok()
    assert twin.marks() == mine
    assert named(twin, "status", "--json").ok().json["verified"]
    assert "nothing to do" in named(twin, "up").ok().out
    named(twin, "detach").ok()
    assert not (stack.directory / ".stackctl").exists()


def test_a_directory_entered_by_a_link_is_the_project_that_compose_started(stack: Project, tmp_path: Path) -> None:
    write(stack)
    with project(tmp_path / "project", "link") as linked:
        link = tmp_path / linked.name
        link.symlink_to(stack.directory)
        env = {**environment(), "PWD": str(link)}
        subprocess.run(["docker", "compose", "up", "-d"], cwd=link, env=env, check=True, capture_output=True)
        before = linked.marks()
        here = {"PWD": str(link)}
        for verb in (["init", "--yes"], ["up"], ["status"]):
            run_process(*verb, cwd=link, env=here).ok()
        assert linked.marks()["backend"] == before["backend"]
        run_here("-C", link, "status").ok()
        elsewhere = run_here("-C", stack.directory, "status", "--json").json
        assert (elsewhere["verified"], elsewhere["services"]) == (None, [])


def test_a_stack_made_from_more_files_is_not_made_anew_without_them(stack: Project) -> None:
    stack.compose({"ollama": ollama(), "backend": backend()}, volumes=VOLUMES)
    stack.write("prod.yaml", "services: {backend: {environment: {MODE: prod}}}\n")
    made = ["docker", "compose", "-f", "compose.yaml", "-f", "prod.yaml", "up", "-d"]
    subprocess.run(made, cwd=stack.directory, env=environment(), check=True, capture_output=True)
    before = stack.marks()
    stack.config()
    refused = stack.stackctl("up").ended(2)
    assert "prod.yaml" in refused.err
    assert "COMPOSE_FILE" in refused.err
    assert any("prod.yaml" in line for line in stack.stackctl("status", "--json").json["drift"])
    assert stack.marks() == before
    stack.config(compose={"files": ["compose.yaml", "prod.yaml"]})
    stack.stackctl("up").ok()
    assert "MODE=prod" in stack.containers()["backend"]["Config"]["Env"]
