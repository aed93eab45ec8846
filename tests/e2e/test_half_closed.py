"""A consumer with nothing but a shell and nc, whose half-closed request a proxy may take for a caller that left."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.netlab import bridge_address
from tests.support.project import BUSYBOX, Project

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


def test_it_is_asked_again_with_the_request_held_open(stack: Project, proxy: str) -> None:
    stack.compose({"backend": {"image": BUSYBOX, "command": ["sleep", "600"], "init": True}})
    stack.config(models=[], consumers={"backend": {"env": {"OLLAMA_URL": "{url}"}}})
    ran = stack.stackctl("up", proxy).ok()
    assert "✓ verified" in ran.out
    assert "Ollama 0.33.0" in ran.out
