"""``${NAME}`` in a template of a consumer: Compose is told the name, and no file of ours the value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cli import run_here

CANARY = "canary-5f0e9b7a31d2"
COMPOSE = """\
name: sct-references
services:
  backend: {image: "stackctl.local/backend:dev"}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "more.env").write_text(f"\ufeffFROM_FILE={CANARY}\n")
    return tmp_path


def configured(directory: Path, env: dict[str, str], **more: Any) -> None:
    whole = {
        "version": 1,
        "compose": {"env_files": ["more.env"]},
        "local": {"gpu": "none"},
        "consumers": {"backend": {"env": env, **more}},
    }
    (directory / "stackctl.yaml").write_text(yaml.safe_dump(whole))


def test_the_override_holds_the_name_and_the_container_the_value(directory: Path) -> None:
    configured(
        directory,
        {
            "API_KEY": "${FROM_FILE}",
            "MIXED": "$$5 ${FROM_SHELL} {host}$x",
            "ELSE": "${NOT_SET_ANYWHERE:-{url}/v1}",
            "SAME_NAME": "${url:-none}",
        },
        command=["serve", "--key=${FROM_FILE}", "{url}"],
    )
    env = {"FROM_SHELL": "shell", "NOT_SET_ANYWHERE": None, "url": None}
    ran = run_here("-C", directory, "render", env=env).ok()
    service = yaml.safe_load(ran.out.replace("!override", ""))["services"]["backend"]
    assert service["environment"] == {
        "API_KEY": "${FROM_FILE}",
        "MIXED": "$$5 ${FROM_SHELL} ollama$$x",
        "ELSE": "${NOT_SET_ANYWHERE:-http://ollama:11434/v1}",
        "SAME_NAME": "${url:-none}",
    }
    assert service["command"] == ["serve", "--key=${FROM_FILE}", "http://ollama:11434"]
    merged = run_here("-C", directory, "render", "--merged", "--json", env=env).ok()
    assert CANARY not in merged.text
    environment = merged.json["project"]["services"]["backend"]["environment"]
    assert environment == {
        "API_KEY": "********",
        "MIXED": "$$5 shell ollama$$x",
        "ELSE": "http://ollama:11434/v1",
        "SAME_NAME": "none",
    }


def test_the_value_is_the_one_that_stackctl_sees(directory: Path) -> None:
    """The environment wins over a file, for Compose as for us, wherever the file lies."""
    configured(directory, {"PLAIN": "${FROM_FILE}"})
    for shell, wanted in ((None, CANARY), ("shell-wins", "shell-wins")):
        ran = run_here("-C", directory, "compose", "--", "config", "--format", "json", env={"FROM_FILE": shell}).ok()
        assert json.loads(ran.out)["services"]["backend"].get("environment") is None
        ran = run_here("-C", directory, "render", "--merged", "--json", env={"FROM_FILE": shell}).ok()
        assert ran.json["project"]["services"]["backend"]["environment"] == {"PLAIN": wanted}


def test_a_name_that_nobody_sets_is_blamed(directory: Path) -> None:
    configured(directory, {"A": "${NOT_SET_ANYWHERE}", "B": "{nope}"})
    ran = run_here("-C", directory, "render", "--json", env={"NOT_SET_ANYWHERE": None}).ended(2)
    assert [p["message"] for p in ran.json["problems"]] == [
        "${NOT_SET_ANYWHERE} is not set in the environment nor in an env_files entry",
        "{nope} is no placeholder",
    ]
