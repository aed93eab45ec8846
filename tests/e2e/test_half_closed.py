"""A consumer with nothing but a shell and nc, whose half-closed request a proxy may take for a caller that left."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.double import Double
from tests.support.netlab import bridge_address
from tests.support.project import BUSYBOX, VOLUMES, Project, ollama

LEFT = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
PATIENCE = 0.3
"""Seconds that its server takes to answer."""


def answer(connection: socket.socket) -> None:
    """As HAProxy with `option abortonclose` behind which a server is slow."""
    with connection:
        asked = b""
        while b"\r\n\r\n" not in asked:
            piece = connection.recv(65536)
            if not piece:
                break
            asked += piece
        if select.select([connection], [], [], PATIENCE)[0] and not connection.recv(1):
            connection.sendall(LEFT)
            return
        body = b'{"models": []}' if b" /api/tags" in asked else b'{"version": "0.33.0"}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)


@pytest.fixture
def proxy() -> Iterator[str]:
    with socket.create_server((bridge_address(), 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # closed: the test is over
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://{bridge_address()}:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_proxy_that_drops_half_closed_requests_is_passed(stack: Project, proxy: str) -> None:
    stack.compose({"backend": {"image": BUSYBOX, "command": ["sleep", "600"], "init": True}})
    stack.config(models=[], consumers={"backend": {"env": {"OLLAMA_URL": "{url}"}}})
    ran = stack.stackctl("up", proxy).ok()
    assert "✓ verified" in ran.out
    assert "Ollama 0.33.0" in ran.out


def test_every_verb_finds_a_server_that_cancels_half_closed_requests(stack: Project, host_double: Double) -> None:
    host_double.faults(half_closed=1.0)
    small = {"image": BUSYBOX, "command": ["sleep", "600"], "init": True}
    stack.compose(
        {"ollama": ollama(), "small": {**small, "environment": {"OLLAMA_URL": "http://ollama:11434"}}}, volumes=VOLUMES
    )
    stack.stackctl("init", "--yes").ok()
    stack.stackctl("up").ok()
    stack.stackctl("instances", "add", "box", host_double.url).ok()
    stack.stackctl("switch", "box").ok()
    told = json.loads(stack.stackctl("status", "--json").ok().out)["consumers"]
    assert [(c["service"], c["reaches"], c["ok"]) for c in told] == [("small", "box", True)]
    assert json.loads(stack.stackctl("--json", "diagnose", "--profile", "box", "small").ok().out)["findings"] == []
    stack.stackctl("instances", "test", "box", "--from", "small").ok()
    stack.stackctl("switch", "local").ok()
