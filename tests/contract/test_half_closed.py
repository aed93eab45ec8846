"""A client that closes its sending half after the request, as busybox nc does."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.double import Double, double

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.double_only


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    with double(tmp_path_factory.mktemp("double"), models=["tiny-chat"]) as server:
        yield server


@pytest.fixture
def server(shared: Double) -> Iterator[Double]:
    yield shared
    shared.heal()


def half_closed(server: Double, path: str, method: str = "GET", body: str = "") -> tuple[int, bytes]:
    """The status and the body of what is answered; 0 where the connection ends without an answer."""
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        client.sendall(f"{head}Connection: close\r\n\r\n{body}".encode())
        client.shutdown(socket.SHUT_WR)
        found = b""
        while piece := client.recv(65536):
            found += piece
    return int(found.split(b" ", 2)[1]) if found else 0, found.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("path", ["/api/tags", "/v1/models"])
def test_a_listing_is_cancelled(server: Double, path: str) -> None:
    server.faults(half_closed=1.0)
    assert half_closed(server, path) == (500, b'{"error":"context canceled"}')
    server.faults(half_closed=0.0)
    assert half_closed(server, path)[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/ps"])
def test_what_does_not_heed_it_answers(server: Double, path: str) -> None:
    server.faults(half_closed=1.0)
    assert half_closed(server, path)[0] == 200


def test_a_generation_ends_with_it(server: Double) -> None:
    server.faults(load_seconds=5.0)
    body = json.dumps({"model": "tiny-chat", "prompt": "hi"})
    assert half_closed(server, "/api/generate", "POST", body) == (0, b"")


def test_as_often_as_on_the_real_server_and_alike_with_one_seed(tmp_path: Path) -> None:
    counts = []
    for number in range(2):
        with double(tmp_path / str(number), models=["tiny-chat"], env={"OLLAMA_DOUBLE_SEED": "1"}) as server:
            counts.append([[half_closed(server, p)[0] for _ in range(60)] for p in ("/api/tags", "/v1/models")])
    assert counts[0] == counts[1]
    tags, models = (statuses.count(500) for statuses in counts[0])
    assert tags > 45
    assert 35 < models < 56
