"""Reading the engine: over its socket and through the docker client; and from engines that are not to be believed."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from stackctl.adapters import api
from stackctl.adapters.api import ApiRefused, ApiUnavailable, EngineApi, plain
from stackctl.errors import EngineUnusable

DOCKER = [shutil.which("docker") or "docker"]
PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Length: 2\r\n\r\nOK"


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def engine(path: Path, speak: Callable[[socket.socket, bytes], None]) -> Iterator[None]:
    """A socket that answers ``/_ping``, and leaves every other request to ``speak``."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := connection.recv(65536):
                if b"/_ping" in request:
                    connection.sendall(PONG)
                else:
                    speak(connection, request)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the engine of this test listens."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    return tmp_path / "engine.sock"


def test_a_socket_and_the_docker_client_tell_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = EngineApi(DOCKER, None)
    monkeypatch.setattr(api, "socket_path", lambda _context: None)
    dialled = EngineApi(DOCKER, None)
    assert dialled.info()["ID"] == direct.info()["ID"]
    assert dialled.network("bridge") == direct.network("bridge")
    assert direct.network("sct-no-such-network") is None
    assert direct.volume("sct/no such?volume") is None
    with ThreadPoolExecutor(8) as pool:
        assert len({future.result()["ID"] for future in [pool.submit(dialled.info) for _ in range(16)]}) == 1


def test_the_version_is_the_older_of_the_engines_and_ours(path: Path) -> None:
    asked: list[bytes] = []

    def speak(connection: socket.socket, request: bytes) -> None:
        asked.append(request.split(b"\r\n", 1)[0])
        connection.sendall(answer(b"[]"))

    with engine(path, speak):
        assert EngineApi(DOCKER, None).networks({"label": ["a=b c"]}) == []
    assert asked == [b"GET /v1.47/networks?filters=%7B%22label%22%3A+%5B%22a%3Db+c%22%5D%7D HTTP/1.1"]
    assert api._prefix("1.99") == "/v1.51"
    assert api._prefix("") == ""


def test_a_refusal_is_told_in_the_engines_words(path: Path) -> None:
    refusal = answer(b'{"message": "no log here"}', "501 Not Implemented")
    with engine(path, lambda c, _: c.sendall(refusal)), pytest.raises(ApiRefused, match="501: no log here"):
        EngineApi(DOCKER, None).logs("x", 5)


@pytest.mark.parametrize(
    "speak",
    [
        lambda _c, _r: time.sleep(3),
        lambda c, _r: [(c.sendall(b"H"), time.sleep(0.1)) for _ in range(50)],
        lambda c, _r: [
            c.sendall(b"HTTP/1.1 200 OK\r\n\r\n"),
            *[(c.sendall(b" "), time.sleep(0.1)) for _ in range(50)],
        ],
    ],
    ids=["silent", "headers byte by byte", "a body byte by byte"],
)
def test_an_answer_without_an_end_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch, speak: Callable[[socket.socket, bytes], None]
) -> None:
    monkeypatch.setattr(api, "ANSWER_WITHIN", 0.5)
    with engine(path, speak):
        asking = EngineApi(DOCKER, None)
        begun = time.monotonic()
        with pytest.raises(EngineUnusable, match=r"engine\.sock gave no whole answer"):
            asking.info()
        with pytest.raises(EngineUnusable):  # and nobody waits for it a second time
            asking.containers({})
        assert time.monotonic() - begun < 2


def test_an_answer_beyond_all_measure_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MOST_BYTES", 1 << 20)

    def speak(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with engine(path, speak), pytest.raises(EngineUnusable, match="more than 1 MiB"):
        EngineApi(DOCKER, None).info()


@pytest.mark.parametrize("said", [answer(b"<html>"), b"SSH-2.0-x\r\n", b""], ids=["no JSON", "no HTTP", "nothing"])
def test_what_is_no_engine(path: Path, said: bytes) -> None:
    def speak(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(said)
        connection.close()

    with engine(path, speak), pytest.raises(ApiUnavailable):
        EngineApi(DOCKER, None).info()


def test_no_socket(path: Path) -> None:
    with pytest.raises(ApiUnavailable):
        EngineApi(DOCKER, None).info()
    assert not path.exists()


def test_a_connection_that_the_engine_has_closed_is_not_used_again(path: Path) -> None:
    def speak(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(answer(b"{}"))
        connection.shutdown(socket.SHUT_RDWR)

    with engine(path, speak):
        asking = EngineApi(DOCKER, None)
        assert [asking.info() for _ in range(3)] == [{}, {}, {}]


def test_logs_lose_their_frames() -> None:
    frames = b"\1\0\0\0\0\0\0\3out" + b"\2\0\0\0\0\0\0\4err\n"
    assert plain(frames) == b"outerr\n"
    assert plain(b"a terminal has no frames") == b"a terminal has no frames"
    assert plain(b"") == b""
