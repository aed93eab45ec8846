"""The backend on a real port, with a server beside it that answers as an Ollama would, or as the test bids."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

SOURCE = Path(__file__).parents[2] / "compose" / "images" / "backend"
sys.path.insert(0, str(SOURCE))

Handler = Callable[["Ask"], None]


@dataclass
class Ask:
    """One request to the scripted server, and the means to answer it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    http: BaseHTTPRequestHandler

    def json(self, status: int, value: object) -> None:
        self.raw(status, "application/json; charset=utf-8", json.dumps(value).encode())

    def raw(self, status: int, kind: str, data: bytes) -> None:
        self.http.send_response(status)
        self.http.send_header("Content-Type", kind)
        self.http.send_header("Content-Length", str(len(data)))
        self.http.end_headers()
        self.http.wfile.write(data)

    def begin_stream(self) -> None:
        self.http.send_response(200)
        self.http.send_header("Content-Type", "application/x-ndjson")
        self.http.send_header("Transfer-Encoding", "chunked")
        self.http.end_headers()

    def line(self, value: object) -> None:
        data = json.dumps(value).encode() + b"\n"
        self.http.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.http.wfile.flush()

    def end_stream(self) -> None:
        self.http.wfile.write(b"0\r\n\r\n")


def words(ask: Ask, *texts: str, done: bool = True) -> None:
    """Answer a chat with these texts, one a line."""
    ask.begin_stream()
    model = json.loads(ask.body)["model"]
    for text in texts:
        ask.line({"model": model, "message": {"role": "assistant", "content": text}, "done": False})
    if done:
        end = {"role": "assistant", "content": ""}
        ask.line({"model": model, "message": end, "done": True, "done_reason": "stop", "eval_count": len(texts)})
    ask.end_stream()


@dataclass
class Scripted:
    """A server whose every path answers as `routes` says; it keeps what it was asked."""

    url: str
    routes: dict[str, Handler] = field(default_factory=dict)
    asked: list[Ask] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    def answers(self, path: str, handler: Handler) -> None:
        self.routes[path] = handler


@pytest.fixture(scope="session")
def upstream_server() -> Iterator[Scripted]:
    class Http(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            ask = Ask(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body, self)
            scripted.asked.append(ask)
            try:
                scripted.routes[self.path](ask)
            except (BrokenPipeError, ConnectionResetError):
                scripted.left.set()
                self.close_connection = True

        do_POST = do_GET  # noqa: N815  (http.server names it)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Http) as server:
        server.daemon_threads = True
        scripted = Scripted(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield scripted
        server.shutdown()
        thread.join()


@pytest.fixture
def upstream(upstream_server: Scripted) -> Scripted:
    """The scripted server, as an Ollama that is well."""
    upstream_server.asked.clear()
    upstream_server.left.clear()
    upstream_server.routes = {
        "/api/version": lambda ask: ask.json(200, {"version": "0.33.0"}),
        "/api/tags": lambda ask: ask.json(200, {"models": [{"model": "tiny:1b"}]}),
        "/api/chat": lambda ask: words(ask, "Hello ", "from upstream."),
    }
    return upstream_server


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Start = Callable[..., httpx.Client]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start the backend as its container does, with these variables; gives a client for it.

    The service keeps nothing between requests, so the same variables give the same process.
    """
    running: dict[frozenset[tuple[str, str]], tuple[subprocess.Popen[bytes], httpx.Client]] = {}
    logs = tmp_path_factory.mktemp("backend")

    def begin(**environment: str) -> httpx.Client:
        key = frozenset(environment.items())
        if key not in running:
            port = free_port()
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)
            running[key] = serve(port, environment, logs / f"{port}.log"), client
            wait_for(client, running[key][0], logs / f"{port}.log")
        return running[key][1]

    yield begin
    for process, client in running.values():
        client.close()
        process.terminate()
    assert {process.wait(15) for process, _ in running.values()} <= {0, -15}


def serve(port: int, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "OLLAMA_MODEL": "tiny:1b"}
    listen = {"BACKEND_HOST": "127.0.0.1", "BACKEND_PORT": str(port)}
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "backend"],
            env=base | listen | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            client.get("/static/icon.svg").raise_for_status()
        except httpx.ConnectError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
