"""The double's listeners: over TLS and IPv6, before HTTP answers, and hostile on purpose."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import re
import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.double import Double, double, start, until
from tests.support.rawhttp import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.double_only
CHAT = {"model": "tiny-chat", "messages": [{"role": "user", "content": "hi"}]}


def test_admin_is_off_unless_asked_for(tmp_path: Path) -> None:
    with double(tmp_path, admin=False) as server:
        assert ask(server.url, "GET", "/_double/faults").text == "404 page not found"


def test_tcp_answers_before_http_does(tmp_path: Path) -> None:
    server = start(tmp_path, faults={"start_seconds": 0.6}, wait=False)
    try:
        until(lambda: "Listening on" in server.log)
        port = int(re.search(r"Listening on 127\.0\.0\.1:(\d+)", server.log).group(1))  # type: ignore[union-attr]
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(5)
            assert client.recv(20).startswith(b"HTTP/1.1 200")
    finally:
        server.stop()


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Double]:
    with double(tmp_path) as server:
        yield server


def _raw(server: Double, limit: int, seconds: float = 5) -> bytes:
    """Ask for the tags and return what comes, up to a number of bytes and of seconds in all."""
    until, found = time.monotonic() + seconds, b""
    with (
        contextlib.suppress(TimeoutError, ConnectionError),
        socket.create_connection((server.host, server.port), timeout=seconds) as client,
    ):
        client.sendall(b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while len(found) < limit and time.monotonic() < until:
            client.settimeout(max(0.01, until - time.monotonic()))
            piece = client.recv(65536)
            if not piece:
                break
            found += piece
    return found


def test_hostile_answers(lone: Double) -> None:
    def hostile(kind: str, **more: Any) -> None:
        lone.faults(routes=[{"match": "GET /api/tags", "hostile": kind, **more}])

    hostile("reset")
    assert _raw(lone, 100) == b""
    hostile("empty")
    assert _raw(lone, 100) == b""
    hostile("silent")
    assert _raw(lone, 100, 0.2) == b""
    hostile("garbage")
    assert b"SSH" in _raw(lone, 100)
    hostile("endless-headers")
    assert b"\r\n\r\n" not in _raw(lone, 2_000_000)
    hostile("slow-loris")
    assert 0 < len(_raw(lone, 100, 1.2)) < 8
    hostile("slow-body")
    assert 0 < len(_raw(lone, 1000, 1.2).partition(b"\r\n\r\n")[2]) < 8
    hostile("huge-body", bytes=3_000_000)
    assert len(_raw(lone, 10_000_000, 20)) > 3_000_000
    hostile("wrong-length")
    assert _raw(lone, 1000).endswith(b'{"models":[]}')
    hostile("gzip-bomb", bytes=5 << 20)
    packed = _raw(lone, 1 << 20).partition(b"\r\n\r\n")[2]
    assert len(packed) < 50_000
    assert len(gzip.decompress(packed)) > 5 << 20
    hostile("invalid-utf8")
    with pytest.raises(UnicodeDecodeError):
        ask(lone.url, "GET", "/api/tags").data.decode()
    hostile("deep-json")
    assert ask(lone.url, "GET", "/api/tags").text.count("[") == 10_000
    hostile("ansi")
    assert "\x1b[2J" in ask(lone.url, "GET", "/api/tags").json["models"][0]["name"]
    hostile("html")
    assert ask(lone.url, "GET", "/api/tags").headers["content-type"] == "text/html"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with double(tmp_path, tls=certificate, models=["tiny-chat"]) as server:
        context = ssl.create_default_context(cafile=str(certificate[0]))
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=5, context=context)
        with contextlib.closing(connection):
            connection.request("POST", "/api/chat", json.dumps(CHAT))
            lines = connection.getresponse().read().splitlines()
            assert json.loads(lines[-1])["done"]
        plain = ask(f"http://127.0.0.1:{server.port}", "GET", "/")
        assert plain.status == 400
        assert "The plain HTTP request was sent to HTTPS port" in plain.text


def test_ipv6(tmp_path: Path) -> None:
    with double(tmp_path, host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert ask(server.url, "GET", "/").text == "Ollama is running"
        assert f"Listening on [::1]:{server.port}" in server.log


def test_connections_that_come_to_nothing(lone: Double) -> None:
    lone.faults(accept="reset", accept_times=2)
    assert [_raw(lone, 100) for _ in range(2)] == [b"", b""]
    assert _raw(lone, 100)
    lone.faults(accept="silent", accept_times=1)
    begun = time.monotonic()
    assert _raw(lone, 100, 0.3) == b""
    assert time.monotonic() - begun >= 0.3
    assert _raw(lone, 100)
