"""The double's image on the real engine: its health, its volume, its end."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.double import EXECUTABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.double_only, pytest.mark.engine]
_BASE = "stackctl.local/python:base"


def _docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return (done.stdout + done.stderr).strip()


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    tag = f"stackctl.local/ollama-double:test-{secrets.token_hex(4)}"
    _docker(
        "build",
        "-q",
        "--build-arg",
        f"BASE={_BASE}",
        "--label",
        "io.stackctl.test=1",
        "-t",
        tag,
        str(EXECUTABLE.parent),
    )
    try:
        yield tag
    finally:
        _docker("rmi", "--no-prune", tag, check=False)


@pytest.fixture
def name() -> Iterator[str]:
    made = f"sct-double-{secrets.token_hex(4)}"
    try:
        yield made
    finally:
        _docker("rm", "-f", "-v", made, check=False)
        _docker("volume", "rm", "-f", made, check=False)


def _run(name: str, image: str, *words: str, options: tuple[str, ...] = ()) -> None:
    health = ("--health-cmd", "ollama list", "--health-interval", "200ms", "--health-start-interval", "100ms",
              "--health-start-period", "5s")  # fmt: skip
    own = ("--name", name, "--label", "io.stackctl.test=1", "-v", f"{name}:/root/.ollama")
    _docker("run", "-d", *own, *health, *options, image, *words)


def _healthy(name: str) -> None:
    until = time.monotonic() + 30
    while _docker("inspect", "-f", "{{.State.Health.Status}}", name) != "healthy":
        assert time.monotonic() < until, _docker("logs", name)
        time.sleep(0.1)


def test_health_pull_and_a_volume_that_outlives_the_container(image: str, name: str) -> None:
    _run(name, image)
    _healthy(name)
    assert "success" in _docker("exec", name, "ollama", "pull", "tiny-tools")
    assert "Listening on [::]:11434" in _docker("logs", name)
    _docker("rm", "-f", name)
    _run(name, image)
    _healthy(name)
    assert "tiny-tools:latest" in _docker("exec", name, "ollama", "list")


def test_the_image_is_like_the_real_one(image: str, name: str) -> None:
    config = json.loads(_docker("image", "inspect", "-f", "{{json .Config}}", image))
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/ollama"], ["serve"])
    assert "11434/tcp" in config["ExposedPorts"]
    assert not config.get("Volumes")
    assert not config.get("Healthcheck")
    assert config["Labels"]["io.stackctl.double"] == "1"
    assert "OLLAMA_HOST=0.0.0.0:11434" in config["Env"]
    _run(name, image)
    probe = "exec 3<>/dev/tcp/127.0.0.1/11434 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
    _healthy(name)
    assert "Ollama is running" in _docker("exec", name, "bash", "-c", probe)
    assert "not found" in _docker("exec", name, "curl", "--version", check=False)


def test_it_stops_at_once(image: str, name: str) -> None:
    _run(name, image)
    _healthy(name)
    begun = time.monotonic()
    _docker("stop", name)
    assert time.monotonic() - begun < 5
    assert _docker("inspect", "-f", "{{.State.ExitCode}}", name) == "0"


def test_a_command_that_repeats_the_entrypoint_fails(image: str, name: str) -> None:
    _run(name, image, "ollama", "serve")
    _docker("wait", name)
    assert 'Error: unknown command "ollama" for "ollama"' in _docker("logs", name)


def test_a_volume_that_cannot_be_written(image: str, name: str) -> None:
    _run(name, image, options=("--user", "12345:12345", "-e", "HOME=/"))
    _docker("wait", name)
    assert "could not create directory mkdir /.ollama: permission denied" in _docker("logs", name)


def test_a_read_only_root_with_its_volume(image: str, name: str) -> None:
    _run(name, image, options=("--read-only", "-e", "OLLAMA_DOUBLE_MODELS=tiny-chat"))
    _healthy(name)
    assert "tiny-chat:latest" in _docker("exec", name, "ollama", "list")
