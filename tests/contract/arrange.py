"""Bringing about what a case takes as given. Each word is arranged through the API alone, but for `queue-full`.

chat, embed, think, tools, insert, vision   the server has a model of that sort: `{chat}` and so on
stub N        a model N that stands for one elsewhere; `ct-…` names belong to the suite
absent N      no model N
copy A B      B is a copy of A
loaded N, unloaded N
idle          no model is loaded
blob T, no-blob T   the text T is, or is not, stored as a blob
registry      the loopback registry runs: `{registry}`
closed-port   nothing listens on 127.0.0.1:1
queue-full    one load under way and one call waiting, with OLLAMA_MAX_QUEUE=1
loopback, wildcard, offline, fresh, env K=V   what sort of server it is (see `servers.py`)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.contract.servers import MODELS, Server, of_the_server
from tests.support.rawhttp import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

_STUB = {"from": "upstream", "remote_host": "http://127.0.0.1:9", "stream": False,
         "info": {"capabilities": ["completion"], "model_family": "fam", "context_length": 4096}}  # fmt: skip


@contextlib.contextmanager
def arranged(server: Server, tokens: tuple[str, ...]) -> Iterator[None]:
    """Hold the state for the length of a `with`; AssertionError when it cannot be had."""
    with contextlib.ExitStack() as stack:
        for token in tokens:
            word, _, rest = token.partition(" ")
            if word == "queue-full":
                stack.enter_context(_full(server))
            elif not of_the_server(token) and word not in {*MODELS, "registry", "closed-port"}:
                _one(server, word, rest)
        yield


def _one(server: Server, word: str, rest: str) -> None:
    match word:
        case "stub":
            _done(server, "POST", "/api/create", {"model": rest, **_STUB})
        case "absent":
            status = ask(server.url, "DELETE", "/api/delete", body={"model": rest}).status
            assert status in {200, 404}, f"deleting {rest}: {status}"
        case "copy":
            source, destination = rest.split(" ")
            _done(server, "POST", "/api/copy", {"source": source, "destination": destination})
        case "loaded":
            _done(server, "POST", "/api/generate", {"model": rest})
        case "unloaded":
            _done(server, "POST", "/api/generate", {"model": rest, "keep_alive": 0})
            _until_gone(server, rest)
        case "idle":
            for each in _loaded(server):
                _done(server, "POST", "/api/generate", {"model": each, "keep_alive": 0})
            _until_gone(server, "")
        case "blob":
            status = ask(server.url, "POST", f"/api/blobs/{digest(rest)}", body=rest).status
            assert status in {200, 201}
        case "no-blob":
            assert ask(server.url, "HEAD", f"/api/blobs/{digest(rest)}").status == 404, f"{rest!r} is stored already"
        case _:
            raise AssertionError(f"nobody knows how to arrange {word!r}")


def digest(text: str) -> str:
    """Return the digest under which a text is stored."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _done(server: Server, method: str, path: str, body: dict[str, object]) -> None:
    answer = ask(server.url, method, path, body=body, timeout=300)
    assert answer.status == 200, f"{method} {path} {body}: {answer.status} {answer.text[:200]}"


def _loaded(server: Server) -> list[str]:
    return [each["name"] for each in ask(server.url, "GET", "/api/ps").json["models"]]


def _until_gone(server: Server, model: str) -> None:
    until = time.monotonic() + 20
    while any(each.startswith(model) for each in _loaded(server)):
        assert time.monotonic() < until, f"{model} stays loaded"
        time.sleep(0.02)


@contextlib.contextmanager
def _full(server: Server) -> Iterator[None]:
    double = server.double
    assert double is not None
    parts = urlsplit(server.url)
    body = json.dumps({"model": server.models["chat"], "prompt": "x"}).encode()
    head = f"POST /api/generate HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for wanted in (1, 2):
            client = stack.enter_context(socket.create_connection((parts.hostname or "", parts.port or 80)))
            client.sendall(head + body)
            until = time.monotonic() + 10
            while double.admin("GET", "state")["active"] < wanted:
                assert time.monotonic() < until, "the queue does not fill"
                time.sleep(0.01)
        yield
