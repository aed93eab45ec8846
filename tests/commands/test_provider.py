from __future__ import annotations

import pytest

from stackctl.cli.provider import is_call
from stackctl.commands.stack.provider import Call, parse_call, variables
from stackctl.config.target import Target
from stackctl.config.url import OllamaUrl
from stackctl.errors import UsageError


def test_the_call_of_compose_is_told_from_our_own_verb() -> None:
    assert is_call(["--project-name=x", "up", "ollama"])
    assert is_call(["--project-name", "x", "down", "ollama"])
    assert is_call(["metadata"])
    assert not is_call(["--", "--project-name=x", "ps"])
    assert not is_call(["ps"])
    assert not is_call([])


def test_a_call_is_parsed_in_the_form_that_compose_2_40_uses() -> None:
    assert parse_call(["--project-name=demo", "up", "--profile=gpu-box", "--directory=..", "ollama"]) == Call(
        "up", "ollama", "demo", {"profile": "gpu-box", "directory": ".."}
    )
    assert parse_call(["--project-name", "demo", "down", "ollama"]) == Call("down", "ollama", "demo", {})


def test_what_is_no_call_is_refused() -> None:
    with pytest.raises(UsageError, match="not a call of Compose's provider protocol: --project-name=x up"):
        parse_call(["--project-name=x", "up"])


def test_the_variables_of_a_target() -> None:
    target = Target("instance", "box", OllamaUrl("http", "10.9.8.7", 11434), ("qwen3:8b",))
    assert variables(target) == {
        "URL": "http://10.9.8.7:11434",
        "BASE_URL": "http://10.9.8.7:11434",
        "V1_URL": "http://10.9.8.7:11434/v1",
        "HOST": "10.9.8.7:11434",
        "HOSTNAME": "10.9.8.7",
        "PORT": "11434",
        "SCHEME": "http",
        "MODEL": "qwen3:8b",
    }
