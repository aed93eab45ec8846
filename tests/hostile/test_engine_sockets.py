"""An engine's socket that is not to be believed: every verb that asks it ends with 5, in time, and names the socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from stackctl.adapters import api
from tests.hostile.test_interrupts import lines
from tests.support.project import BACKEND, Project, project

pytestmark = pytest.mark.engine

PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Length: 2\r\n\r\nOK"
FOREVER = 60.0
MOST = 64 << 10


def hangs(_connection: socket.socket, over: threading.Event) -> None:
    over.wait(FOREVER)


def drips(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not over.wait(0.05):
        connection.sendall(b" ")


def never_ends(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not over.is_set():
        connection.sendall(b"10000\r\n" + b"[" * 65536 + b"\r\n")


@contextmanager
def engine(path: Path, behaves: Callable[[socket.socket, threading.Event], None]) -> Iterator[list[int]]:
    """Answers ``/_ping``, and everything else as ``behaves`` does; yields one entry for each such request."""
    over, asked = threading.Event(), []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := connection.recv(65536):
                if b"/_ping" in request:
                    connection.sendall(PONG)
                else:
                    asked.append(1)
                    behaves(connection, over)
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield asked
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", "socket") as made:
        made.compose({"backend": {"image": BACKEND}})
        made.config(instances={"box": {"url": "http://127.0.0.1:1"}}, default="box")
        yield made


@pytest.mark.parametrize("behaves", [hangs, drips, never_ends], ids=lambda behaves: behaves.__name__)
@pytest.mark.parametrize("line", lines(), ids=" ".join)
def test_it_is_told_of(
    line: list[str], behaves: Callable[..., None], here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_WITHIN", "ANSWER_WITHIN", "INSPECTED_WITHIN"):
        monkeypatch.setattr(api, name, 1.0)
    monkeypatch.setattr(api, "MOST_BYTES", MOST)
    path = tmp_path / "docker.sock"
    begun = time.monotonic()
    with engine(path, behaves) as asked:
        ran = here.stackctl(*line, env={"DOCKER_HOST": f"unix://{path}"})
    assert time.monotonic() - begun < 10
    if asked:
        assert ran.code in ((5,) if line[0] not in NOT_ONLY_THE_ENGINE else (0, 1, 5)), ran.text
        if ran.code == 5:
            assert str(path) in ran.text
    assert not (here.directory / ".stackctl" / "journal.jsonl").exists()


NOT_ONLY_THE_ENGINE = ("chat", "explain", "init", "instances", "models", "host-check", "host-setup")
"""What works on without an engine: servers elsewhere are asked all the same."""
