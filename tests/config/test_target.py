"""From a name or a URL to the one Ollama that is meant."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.config.models import StackConfig
from stackctl.config.target import Target, default_profile, further, passed_over, resolve
from stackctl.errors import UsageError

INSTANCES: dict[str, Any] = {
    "box": {"url": "http://10.0.0.5:11434", "priority": 2, "models": ["qwen3:32b"]},
    "near": {"url": "http://localhost:11434", "priority": 1, "enabled": False},
    "odd": {
        "url": "https://h", "headers": {"X-A": "b"}, "tls": {"verify": False, "ca_file": "ca.pem"},
        "endpoints": {"chat": "/api/v1/chat"},
    },
}  # fmt: skip


def config(**settings: Any) -> StackConfig:
    whole = {"version": 1, "models": ["qwen3:8b"], "instances": INSTANCES, **settings}
    return StackConfig.model_validate(whole)


def told(target: Target) -> tuple[str, str, tuple[str, ...], dict[str, str]]:
    return target.kind, str(target.url), target.models, dict(target.pins)


def test_names() -> None:
    assert told(resolve(config(), "local")) == ("local", "http://ollama:11434", ("qwen3:8b",), {})
    assert told(resolve(config(), "box")) == ("instance", "http://10.0.0.5:11434", ("qwen3:32b",), {})


def test_a_url_of_an_instance_is_that_instance() -> None:
    assert resolve(config(), "http://10.0.0.5:11434/").name == "box"
    assert resolve(config(), "http://10.0.0.6:11434").name == "http://10.0.0.6:11434"


def test_the_default_of_the_file_goes_before_every_guess() -> None:
    assert default_profile(config(), has_local=True) == "local"
    assert default_profile(config(default="box"), has_local=True) == "box"
    assert default_profile(config(default="local"), has_local=False) == "local"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"])
def test_this_machine_is_the_host_in_a_container(host: str) -> None:
    target = resolve(config(), f"http://{host}:1234")
    assert told(target)[1:] == (
        "http://host.docker.internal:1234",
        ("qwen3:8b",),
        {"host.docker.internal": "host-gateway"},
    )
    assert target.notes == (
        f"http://{host}:1234 means the Docker host, so consumers are told http://host.docker.internal:1234",
    )


def test_what_no_variable_carries_is_said() -> None:
    (note,) = resolve(config(), "odd").notes
    assert "not of its headers, its CA, tls.verify: false, its own paths" in note
    assert "gateway: true" in note


@pytest.mark.parametrize(
    ("name", "says", "hint"),
    [
        ("bx", 'no profile "bx"', "did you mean `box`?"),
        ("zzz", 'no profile "zzz"', "known: local, box, near, odd, dead"),
        ("10.0.0.9:11434", 'no profile "10.0.0.9:11434"', "write its URL: http://10.0.0.9:11434"),
        ("cuda.local", 'no profile "cuda.local"', "write its URL: http://cuda.local:11434"),
        ("box:99999", 'no profile "box:99999"', "write its URL: http://box:11434"),
        ("near", 'the instance "near" is disabled', "enabled: true"),
        ("dead", 'every instance of the profile "dead" is disabled', "enable one"),
        ("ftp://h", "neither http nor https", "write http://h"),
        ("http://h/api/tags", "is an endpoint", "write http://h"),
    ],
)
def test_refused(name: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolve(config(profiles={"dead": {"use": ["near"]}}), name)
    assert says in refused.value.message
    assert hint in refused.value.hint


def test_what_up_means_without_a_name() -> None:
    assert default_profile(config(), has_local=True) == "local"
    assert default_profile(config(), has_local=False) == "box"
    assert default_profile(config(local={"gpu": "none"}), has_local=False) == "local"
    assert default_profile(config(instances={}), has_local=False) == "local"


def test_a_profile_of_several_without_a_gateway_is_its_best_that_is_left() -> None:
    top = {"url": "http://10.0.0.4:11434", "priority": 1}
    whole = config(
        instances={"box": INSTANCES["box"], "top": top, "off": INSTANCES["near"]},
        profiles={"all": {"use": ["box", "off", "top"], "fallback": "local"}},
    )
    assert further(whole, "all", ()) == ["top", "box", "local"]
    told_urls = [str(resolve(whole, "all", without=["top", "box", "local"][:n]).url) for n in range(3)]
    assert told_urls == ["http://10.0.0.4:11434", "http://10.0.0.5:11434", "http://ollama:11434"]
    assert "box would take over by itself behind `gateway: true`" in resolve(whole, "all").notes[-1]
    assert passed_over(whole, "all", "http://10.0.0.5:11434") == ["top"]
    assert passed_over(whole, "all", "http://10.0.0.9:11434") == []
    assert further(whole, "box", ()) == []
