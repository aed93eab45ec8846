"""Which targets are tried for a profile, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.commands.reconcile.candidates import candidates
from stackctl.config.models import StackConfig
from stackctl.errors import UsageError


def config(**settings: Any) -> StackConfig:
    return StackConfig.model_validate(
        {
            "version": 1,
            "consumers": {"backend": {"env": {"OLLAMA_URL": "{url}"}}},
            "instances": {
                "a": {"url": "http://10.0.0.1:11434", "priority": 2},
                "b": {"url": "http://10.0.0.2:11434", "priority": 1},
                "c": {"url": "http://10.0.0.3:11434"},
            },
            "profiles": {
                "team": {"use": ["a", "b"], "fallback": "c"},
                "home": {"use": ["a"], "fallback": "local"},
            },
            **settings,
        }
    )


def listed(name: str, on_unreachable: str = "fail", **settings: Any) -> list[tuple[str, str]]:
    found = candidates(config(**settings), name, on_unreachable)
    return [(c.target.url.host, c.announce("down")) for c in found]


def test_members_by_priority_then_the_fallback() -> None:
    assert [host for host, _ in listed("team")] == ["10.0.0.2", "10.0.0.1", "10.0.0.3"]
    assert listed("team")[1][1] == "down; a takes its place in team"


def test_what_on_unreachable_says_comes_last() -> None:
    assert listed("a", "local")[1:] == [("ollama", "down; on_unreachable: local takes over")]
    assert listed("a", "degrade")[1:] == [("10.0.0.1", "coming up degraded: down")]
    assert listed("team", "degrade")[3] == ("10.0.0.2", "coming up degraded: down")


def test_the_local_server_stands_in_once() -> None:
    assert [host for host, _ in listed("home", "local")] == ["10.0.0.1", "ollama"]
    assert len(listed("local", "local")) == 1


def test_behind_the_gateway_all_members_are_one_target() -> None:
    assert len(listed("team", gateway=True)) == 1


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError):
        candidates(config(), "nobody", "fail")
