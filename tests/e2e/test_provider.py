"""The real Compose calls the real stackctl as the provider of a service."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine
BIN = Path(sys.executable).parent


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    name = f"sct-provider-{uuid.uuid4().hex[:8]}"
    (tmp_path / "compose.yaml").write_text(f"""\
name: {name}
services:
  ollama:
    provider:
      type: stackctl
      options: {{profile: "${{PROFILE:-box}}"}}
  app:
    image: stackctl.local/busybox:base
    labels: {{io.stackctl.test: "1"}}
    command: env
    depends_on: [ollama]
networks:
  default: {{labels: {{io.stackctl.test: "1"}}}}
""")
    (tmp_path / "stackctl.yaml").write_text("""\
version: 1
instances:
  box: {url: "http://10.9.8.7:11434"}
  locked: {url: "http://10.9.8.8:11434", auth: {bearer: "${TOKEN}"}}
gateway: false
consumers: {}
""")
    yield tmp_path
    compose(tmp_path, "down", "--timeout", "0")


def compose(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TOKEN": "t0ken-in-clear", **variables}
    return subprocess.run(
        ["docker", "compose", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_dependents_receive_the_active_address(project: Path) -> None:
    done = compose(project, "up", "--no-color", "--no-log-prefix")
    assert done.returncode == 0, done.stderr
    told = set(done.stdout.split())
    assert {
        "OLLAMA_URL=http://10.9.8.7:11434",
        "OLLAMA_HOST=10.9.8.7:11434",
        "OLLAMA_V1_URL=http://10.9.8.7:11434/v1",
    } <= told


def test_a_url_may_be_named_instead_of_a_profile(project: Path) -> None:
    done = compose(project, "up", "--no-color", "--no-log-prefix", PROFILE="http://10.9.8.9:5000")
    assert "OLLAMA_URL=http://10.9.8.9:5000" in done.stdout.split()


def test_what_is_wrong_reaches_the_user_of_compose(project: Path) -> None:
    done = compose(project, "up", PROFILE="bxo")
    assert done.returncode != 0
    assert 'no profile "bxo"' in done.stdout + done.stderr


def test_a_token_is_never_handed_out(project: Path) -> None:
    done = compose(project, "up", PROFILE="locked")
    assert done.returncode != 0
    assert "needs credentials" in done.stdout + done.stderr
    assert "t0ken-in-clear" not in done.stdout + done.stderr


def test_down_has_nothing_to_end(project: Path) -> None:
    assert compose(project, "up").returncode == 0
    assert compose(project, "down", "--timeout", "0").returncode == 0
