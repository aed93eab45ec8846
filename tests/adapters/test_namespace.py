"""Names as a container's own files tell them. That a network is entered, and what is seen there: tests/e2e."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stackctl.adapters import dns
from stackctl.adapters.namespace import look
from stackctl.nearby import Get, Room

HERE = "/proc/self/ns/net"


class Handler(BaseHTTPRequestHandler):
    """Keeps its connections open whatever is asked, as some servers do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/pieces":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"2\r\nwe\r\n2\r\nll\r\n0\r\n\r\n")
        else:
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"well")
        self.close_connection = False

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def port() -> object:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def ask(tmp_path: Path, port: int) -> Callable[..., bytes | None]:
    def asked(host: str, hosts: str = "", resolver: str = "", path: str = "/") -> bytes | None:
        (tmp_path / "hosts").write_text(hosts)
        (tmp_path / "resolv.conf").write_text(resolver)
        room = Room(HERE, str(tmp_path / "hosts"), str(tmp_path / "resolv.conf"))
        found = look([(room, [Get(host, port, path)])])[0]
        return found[0].raw if found else None

    return asked


def test_an_answer_without_the_end_of_its_connection(ask: Callable[..., bytes | None]) -> None:
    assert (ask("127.0.0.1") or b"").endswith(b"well")
    assert (ask("127.0.0.1", path="/pieces") or b"").endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "hosts", ["127.0.0.1 ollama", "# no\n127.0.0.1\tbox Ollama # yes", "::1 ollama\n127.0.0.1 ollama"]
)
def test_the_hosts_file(ask: Callable[..., bytes | None], hosts: str) -> None:
    assert ask("ollama", hosts)
    assert ask("olla", hosts) is None


@pytest.mark.parametrize(
    ("host", "resolver", "asked"),
    [
        ("ollama", "nameserver 127.0.0.11\noptions edns0 ndots:0\n", ["ollama"]),
        ("ollama", "nameserver 127.0.0.11\nsearch lan\noptions ndots:0\n", ["ollama"]),
        ("ollama", "nameserver 127.0.0.11\nsearch lan\n", []),
        ("box.lan", "nameserver 127.0.0.11\nsearch lan\n", ["box.lan"]),
        ("ollama", "search lan\n", []),
        ("ollama", "", []),
    ],
)
def test_the_name_server_is_asked_where_the_name_comes_first(
    ask: Callable[..., bytes | None], monkeypatch: pytest.MonkeyPatch, host: str, resolver: str, asked: list[str]
) -> None:
    seen: list[str] = []

    def addresses(name: str, server: str, _timeout: float) -> tuple[str, ...]:
        assert server == "127.0.0.11"
        seen.append(name)
        return ("127.0.0.1",)

    monkeypatch.setattr(dns, "addresses", addresses)
    assert bool(ask(host, "127.0.0.1 another", resolver)) == bool(asked)
    assert seen == asked


def test_where_nothing_can_be_seen(tmp_path: Path, port: int) -> None:
    assert os.geteuid() == 0, "only root may enter a network namespace"
    for sandbox in ("", str(tmp_path), "/dev/null", str(tmp_path / "missing")):
        assert look([(Room(sandbox, "", ""), [Get("127.0.0.1", port, "/")])]) == [None]
    assert look([(Room(HERE, "", ""), [Get("127.0.0.1", port, "/"), Get("127.0.0.1", 1, "/")])]) == [None]
