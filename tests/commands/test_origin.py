"""What only one shell says of a project is written down by ``init``, and counts for the next shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cli import run_here

COMPOSE = """\
services:
  ollama: {image: ollama/ollama, volumes: ["m:/root/.ollama"]}
  web:
    image: x
    environment: {OLLAMA_URL: "${LLM_URL:-http://ollama:11434}"}
volumes: {m: {}}
"""
MORE = """\
services:
  db: {image: postgres}
  extra: {image: x, profiles: [extra], environment: {OLLAMA_HOST: "http://ollama:11434"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    home = tmp_path / "real"
    home.mkdir()
    (home / "compose.yaml").write_text(COMPOSE)
    (home / "more.yaml").write_text(MORE)
    (home / "a.env").write_text("LLM_URL=http://first:11434\n")
    (home / "b.env").write_text("LLM_URL=http://10.1.2.3:11434\nCOMPOSE_FILE=compose.yaml:more.yaml\n")
    return home


def written(project: Path, env: dict[str, str], *arguments: str) -> Any:
    run_here("-C", project, "init", *arguments, env=env).ok()
    return yaml.safe_load((project / "stackctl.yaml").read_text()).get("compose")


def services(project: Path, env: dict[str, str] | None = None) -> set[str]:
    return set(run_here("-C", project, "render", "--merged", "--json", env=env).ok().json["project"]["services"])


def name(project: Path, env: dict[str, str] | None = None) -> str:
    found: str = run_here("-C", project, "render", "--merged", "--json", env=env).ok().json["project"]["name"]
    return found


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, None),
        ({"COMPOSE_FILE": "compose.yaml:more.yaml"}, {"files": ["compose.yaml", "more.yaml"]}),
        (
            {"COMPOSE_FILE": "compose.yaml|more.yaml", "COMPOSE_PATH_SEPARATOR": "|"},
            {"files": ["compose.yaml", "more.yaml"]},
        ),
        ({"COMPOSE_ENV_FILES": "a.env,b.env"}, {"env_files": ["a.env", "b.env"]}),
        ({"COMPOSE_PROFILES": "extra,other"}, {"profiles": ["extra", "other"]}),
        ({"COMPOSE_PROJECT_NAME": "one"}, {"project": "one"}),
    ],
)
def test_it_is_written_down(project: Path, env: dict[str, str], said: Any) -> None:
    assert written(project, env) == said
    assert "says the same" in run_here("-C", project, "init").ok().out


def test_files_by_their_whole_path_from_another_directory(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {"COMPOSE_FILE": f"{project}/compose.yaml:{project}/more.yaml"}
    assert written(elsewhere, env) == {"files": ["../real/compose.yaml", "../real/more.yaml"]}
    assert {"ollama", "web", "db"} <= services(elsewhere)


def test_the_next_shell_has_the_same_project(project: Path) -> None:
    env = {"COMPOSE_ENV_FILES": "a.env,b.env", "COMPOSE_PROFILES": "extra", "COMPOSE_PROJECT_NAME": "one"}
    written(project, env)
    assert services(project) == {"ollama", "web", "db", "extra"} == services(project, env)
    assert name(project) == "one"


def test_env_files_of_the_shell_count_without_being_written(project: Path) -> None:
    (project / "stackctl.yaml").write_text("version: 1\nconsumers: {web: {env: {OLLAMA_URL: '{url}'}}}\n")
    assert "db" in services(project, {"COMPOSE_ENV_FILES": "a.env,b.env"})
    assert "db" not in services(project)


def test_another_name_of_the_shell_is_another_project(project: Path) -> None:
    written(project, {"COMPOSE_PROJECT_NAME": "one"})
    assert name(project, {"COMPOSE_PROJECT_NAME": "two"}) == "two"


def test_a_shell_that_says_otherwise_is_told(project: Path) -> None:
    written(project, {"COMPOSE_FILE": "compose.yaml:more.yaml"})
    ran = run_here("-C", project, "render", env={"COMPOSE_FILE": "compose.yaml"}).ok()
    assert "COMPOSE_FILE of this shell is not heeded" in ran.err
    assert "not heeded" not in run_here("-C", project, "render").ok().err


def test_a_directory_entered_by_a_link_is_named_by_the_link(project: Path, tmp_path: Path) -> None:
    link = tmp_path / "site"
    link.symlink_to("real")
    written(project, {})
    assert name(link) == "site"
    assert name(project) == "real"
