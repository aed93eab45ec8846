"""An interrupt ends every verb at once with 130, whatever it waits for, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.cli import start_process
from tests.support.project import BACKEND, CONSUMERS, Project, docker, project
from tests.support.verbs import command_lines

pytestmark = pytest.mark.engine

WITHIN = 2.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stalling:
    """Takes connections, and never answers; knows when the first request has come."""

    def __init__(self, listener: socket.socket) -> None:
        self.asked = threading.Event()
        self._listener, self._held = listener, []
        listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._held.append(connection)
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if connection.recv(1):
                self.asked.set()

    def close(self) -> None:
        self._listener.close()
        for connection in self._held:
            connection.close()


@contextmanager
def stalling(family: socket.AddressFamily, address: object) -> Iterator[Stalling]:
    with socket.socket(family) as listener:
        listener.bind(address)  # type: ignore[arg-type]
        server = Stalling(listener)
        try:
            yield server
        finally:
            server.close()


def is_interrupted(process: subprocess.Popen[str], asked: threading.Event, number: int) -> bool:
    """Whether it had to be interrupted at all; fails where it then does not end in time with 130."""
    try:
        while not asked.wait(0.02):
            if process.poll() is not None:
                return False
        process.send_signal(number)
        begun = time.monotonic()
        _, err = process.communicate(timeout=20)
        took = time.monotonic() - begun
        assert process.returncode == 130, err
        assert "Traceback" not in err
        assert took < WITHIN, f"{took:.1f} s"
        return True
    finally:
        process.kill()
        process.communicate()


def lines() -> list[list[str]]:
    """A line a verb: the first, which has what it needs and no switches."""
    found: dict[str, list[str]] = {}
    for line in command_lines():
        words = [w for w in line if not w.startswith("-")]
        found.setdefault(" ".join(words[: 2 if line[0] in ("models", "instances") else 1]), line)
    return list(found.values())


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", "interrupt") as made:
        made.compose({"backend": {"image": BACKEND}})
        made.write("models.tar", "no backup")
        yield made


@pytest.mark.parametrize("line", lines(), ids=" ".join)
def test_an_engine_that_hangs(line: list[str], here: Project, tmp_path: Path) -> None:
    here.config(instances={"box": {"url": "http://127.0.0.1:1"}}, default="box")
    path = tmp_path / "docker.sock"
    number = SIGNALS[len(" ".join(line)) % 3]
    with stalling(socket.AF_UNIX, str(path)) as server:
        process = start_process(*line, cwd=here.directory, env={"DOCKER_HOST": f"unix://{path}"})
        is_interrupted(process, server.asked, number)
    assert not (here.directory / ".stackctl" / "journal.jsonl").exists()


ASKING = """
models pull tiny -i box
models sync box
models list
models show tiny -i box
models rm tiny -i box --yes
instances test box
chat hello -i box
up
switch box
diagnose
"""
"""What asks a server, each in its own way; nothing runs, so that `status` has nobody to ask from."""
SLOW_TO_BEGIN = ("up", "switch")
"""Of these one signal is tried: it takes long until they ask."""


@pytest.mark.parametrize(
    ("line", "number"),
    [
        pytest.param(line, number, id=f"{line}-{number.name}")
        for line in ASKING.strip().splitlines()
        for number in (SIGNALS[:1] if line.startswith(SLOW_TO_BEGIN) else SIGNALS)
    ],
)
def test_a_server_that_hangs(line: str, number: signal.Signals, here: Project) -> None:
    gateway = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]
    with stalling(socket.AF_INET, (gateway, 0)) as server:
        port = server._listener.getsockname()[1]
        here.config(
            consumers=CONSUMERS,
            instances={"box": {"url": f"http://{gateway}:{port}"}},
            default="box",
        )
        here.compose({"backend": {"image": BACKEND, "environment": {"OLLAMA_URL": f"http://{gateway}:{port}"}}})
        assert is_interrupted(start_process(*line.split(), cwd=here.directory), server.asked, number)
    assert not here.containers()
    assert not (here.directory / ".stackctl" / "journal.jsonl").exists()
    probes = docker("ps", "--all", "--format", "{{.Names}} {{.Labels}}", "--filter", "name=stackctl-probe")
    assert here.name not in probes
