"""What only the double has: its name, its knobs, its faults, its other listeners."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.double import Double, DoubleError, double, start
from tests.support.rawhttp import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.double_only
_CHAT = {"model": "tiny-chat", "messages": [{"role": "user", "content": "hi"}]}
_GENERATE = {"model": "tiny-chat", "prompt": "hi"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    with double(tmp_path_factory.mktemp("double"), models=["tiny-chat", "qwen3:8b"], name="lan-box") as server:
        yield server


@pytest.fixture
def server(shared: Double) -> Iterator[Double]:
    shared.heal()
    shared.admin("POST", "unload")
    shared.admin("DELETE", "requests")
    yield shared
    shared.heal()


def _post(server: Double, path: str, body: Any, **headers: str) -> Answer:
    return ask(server.url, "POST", path, body=body, headers=headers)


def test_it_says_that_it_is_a_double_and_which(server: Double) -> None:
    answer = ask(server.url, "GET", "/api/version")
    assert answer.json["version"].endswith("-double")
    assert answer.headers["server"] == "ollama-double"
    said = _post(server, "/api/chat", _CHAT | {"stream": False}).json["message"]["content"]
    assert "lan-box" in said
    assert "test double" in said
    text = {"model": "tiny-chat", "messages": _CHAT["messages"]}
    assert "lan-box" in _post(server, "/v1/chat/completions", text).json["choices"][0]["message"]["content"]
    assert "named lan-box" in server.log


def test_log_lines_have_the_real_form(server: Double) -> None:
    ask(server.url, "GET", "/api/tags")
    stamp, latency = r"\[GIN\] \d{4}/\d\d/\d\d - \d\d:\d\d:\d\d", r" +[\d.]+(µs|ms|s)"
    assert re.search(stamp + r" \| 200 \|" + latency + r" \| +127\.0\.0\.1 \| GET      \"/api/tags\"\n", server.log)
    assert re.search(
        r'time=\S+ level=INFO source=\S+ msg="Listening on 127\.0\.0\.1:\d+ \(version \S+\)"\n', server.log
    )
    assert 'msg="inference compute" id=cpu library=cpu' in server.log


def test_the_pace_is_kept(server: Double) -> None:
    server.faults(tokens_per_second=50, first_token_seconds=0.2)
    begun = time.monotonic()
    lines = _post(server, "/api/generate", _GENERATE | {"prompt": "[double tokens=20]"}).lines
    assert 0.55 < time.monotonic() - begun < 10
    assert lines[-1]["eval_count"] == 20


def test_tokens_come_one_by_one(server: Double) -> None:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/api/generate", json.dumps(_GENERATE | {"prompt": "[double tokens=10 tps=20]"}))
        answer = connection.getresponse()
        times = [time.monotonic() for _ in answer]
    assert times[-1] - times[0] > 0.3


def test_a_prompt_steers_its_own_call_only(server: Double) -> None:
    steered = _GENERATE | {"prompt": "[double tokens=300]", "stream": False}
    assert _post(server, "/api/generate", steered).json["eval_count"] == 300
    assert _post(server, "/api/generate", _GENERATE | {"stream": False}).json["eval_count"] < 30


def test_a_cut_stream_has_no_end(server: Double) -> None:
    server.faults(cut_after_tokens=3)
    with pytest.raises(http.client.IncompleteRead) as caught:
        _post(server, "/api/chat", _CHAT)
    assert caught.value.partial.count(b"\n") == 3


def test_a_silent_end_has_neither_done_nor_error(server: Double) -> None:
    server.faults(stop_after_tokens=3)
    lines = _post(server, "/api/chat", _CHAT).lines
    assert len(lines) == 3
    assert not any(line["done"] or "error" in line for line in lines)


def test_an_error_in_the_stream_is_its_last_line(server: Double) -> None:
    server.faults(error_after_tokens=2)
    answer = _post(server, "/api/generate", _GENERATE)
    assert answer.status == 200
    assert set(answer.lines[-1]) == {"error"}
    whole = _post(server, "/api/generate", _GENERATE | {"stream": False})
    assert whole.status == 500
    server.faults(error_after_tokens=0)
    early = _post(server, "/api/generate", _GENERATE)
    assert (early.status, early.headers["content-type"]) == (500, "application/json")


def test_an_error_in_an_openai_stream_is_invisible(server: Double) -> None:
    server.faults(error_after_tokens=2)
    text = _post(server, "/v1/chat/completions", _CHAT | {"stream": True}).text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert "[DONE]" not in text
    assert events[-1]["model"] == ""
    assert events[-1]["choices"][0]["delta"]["content"] == ""
    assert all(event["choices"][0]["finish_reason"] is None for event in events)
    assert "error" not in text


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("oom", "cudaMalloc failed: out of memory"),
        ("memory", "model requires more system memory"),
        ("killed", "llama-server process has terminated: signal: killed"),
        ("binary", "llama-server binary not found"),
        ("my own words", "my own words"),
    ],
)
def test_a_model_that_cannot_be_loaded(server: Double, kind: str, pattern: str) -> None:
    server.faults(load_error=kind)
    answer = _post(server, "/api/chat", _CHAT)
    assert answer.status == 500
    assert pattern in answer.json["error"]
    assert ask(server.url, "GET", "/api/ps").json["models"] == []


@pytest.mark.parametrize(("gpu", "share"), [("none", 0.0), ("full", 1.0), ("0.6", 0.6)])
def test_where_a_model_runs(server: Double, gpu: str, share: float) -> None:
    server.faults(gpu=gpu)
    _post(server, "/api/generate", {"model": "qwen3:8b"})
    (found,) = ask(server.url, "GET", "/api/ps").json["models"]
    assert found["size_vram"] == pytest.approx(found["size"] * share, rel=0.01)


def test_no_header_before_the_first_token(server: Double) -> None:
    server.faults(load_seconds=1.5)
    body = json.dumps(_GENERATE).encode()
    with socket.create_connection((server.host, server.port)) as client:
        client.sendall(
            b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        client.settimeout(0.15)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert ask(server.url, "GET", "/api/ps").json["models"] == []
        client.settimeout(5)
        assert client.recv(20).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_stops_the_talk(server: Double) -> None:
    server.faults(tokens_per_second=1)
    body = json.dumps(_GENERATE).encode()
    with socket.create_connection((server.host, server.port)) as client:
        client.sendall(
            b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        assert client.recv(20)
    _until(lambda: server.admin("GET", "state")["active"] == 0)


def test_a_loader_that_leaves_is_a_499_in_the_log(server: Double) -> None:
    server.faults(load_seconds=5)
    body = json.dumps(_GENERATE | {"prompt": "gone"}).encode()
    with socket.create_connection((server.host, server.port)) as client:
        client.sendall(
            b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        _until(lambda: server.admin("GET", "state")["active"] == 1)
    _until(lambda: "| 499 |" in server.log)


def test_a_runner_that_dies_stays_listed_until_the_next_call(server: Double) -> None:
    server.faults(tokens_per_second=20)
    body = json.dumps(_GENERATE | {"prompt": "[double tokens=100]"}).encode()
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        client.sendall(head % len(body) + body)
        found = client.recv(20)
        server.admin("POST", "crash")
        while piece := client.recv(65536):
            found += piece
    assert b'{"error":"model runner has unexpectedly stopped' in found
    assert len(ask(server.url, "GET", "/api/ps").json["models"]) == 1
    server.heal()
    assert _post(server, "/api/generate", _GENERATE | {"stream": False}).json["done"]


def test_answers_replaced_by_route(server: Double) -> None:
    fault = {"match": "POST /api/*", "status": 502, "body": "<html>bad gateway</html>", "content_type": "text/html",
             "headers": {"Retry-After": "1"}, "times": 1, "after": 1}  # fmt: skip
    server.faults(routes=[fault])
    seen = [_post(server, "/api/show", {"model": "tiny-chat"}) for _ in range(3)]
    assert [answer.status for answer in seen] == [200, 502, 200]
    assert seen[1].headers["retry-after"] == "1"
    assert ask(server.url, "GET", "/api/tags").status == 200
    server.faults(routes=[{"match": "/api/tags", "status": 200, "body": {"models": []}}])
    assert ask(server.url, "GET", "/api/tags").json == {"models": []}


def test_credentials_in_front(server: Double) -> None:
    server.faults(bearer="s3cret")
    refused = ask(server.url, "GET", "/api/tags")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer realm="ollama"')
    assert "s3cret" not in json.dumps(server.admin("GET", "faults"))
    for header, status in (("Bearer s3cret", 200), ("Bearer other", 401), ("s3cret", 401)):
        assert ask(server.url, "GET", "/api/tags", headers={"Authorization": header}).status == status
    server.heal()
    server.faults(basic="me:pw")
    assert ask(server.url, "GET", "/api/tags", headers={"Authorization": "Basic bWU6cHc="}).status == 200
    assert ask(server.url, "GET", "/").headers["www-authenticate"] == 'Basic realm="ollama"'


def test_a_prefix_and_other_paths(server: Double) -> None:
    server.faults(prefix="/ollama", aliases={"/api/v1/models": "/api/tags"})
    assert ask(server.url, "GET", "/api/tags").status == 404
    assert ask(server.url, "GET", "/ollama/api/tags").status == 200
    assert ask(server.url, "GET", "/ollama/api/v1/models").json["models"]
    assert ask(server.url, "GET", "/ollama/").text == "Ollama is running"


def test_an_older_version_lacks_later_routes(server: Double) -> None:
    server.faults(version="0.5.13")
    assert ask(server.url, "GET", "/api/version").json == {"version": "0.5.13"}
    assert _post(server, "/v1/responses", {"model": "tiny-chat", "input": "x"}).text == "404 page not found"
    assert _post(server, "/api/chat", _CHAT).status == 200


def test_what_was_asked_is_kept(server: Double) -> None:
    ask(server.url, "GET", "/api/tags?x=1", headers={"Authorization": "Bearer abc", "X-Client-ID": "me"})
    (seen,) = server.requests()
    assert (seen["method"], seen["target"]) == ("GET", "/api/tags?x=1")
    assert {"Authorization": "Bearer abc", "X-Client-ID": "me"}.items() <= dict(seen["headers"]).items()


def test_wrong_knobs_are_refused(server: Double) -> None:
    for wrong in ({"nonsense": 1}, {"registry": "odd"}, {"tokens_per_second": "fast"}, {"routes": [{"hostile": "x"}]}):
        with pytest.raises(DoubleError, match="400"):
            server.faults(**wrong)


def test_admin_is_off_unless_asked_for(tmp_path: Path) -> None:
    with double(tmp_path, admin=False) as server:
        assert ask(server.url, "GET", "/_double/faults").text == "404 page not found"


def test_tcp_answers_before_http_does(tmp_path: Path) -> None:
    server = start(tmp_path, faults={"start_seconds": 0.6}, wait=False)
    try:
        _until(lambda: "Listening on" in server.log)
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


def test_connections_that_come_to_nothing(server: Double) -> None:
    server.faults(accept="reset", accept_times=2)
    assert [_raw(server, 100) for _ in range(2)] == [b"", b""]
    assert _raw(server, 100)
    server.faults(accept="silent", accept_times=1)
    begun = time.monotonic()
    assert _raw(server, 100, 0.3) == b""
    assert time.monotonic() - begun >= 0.3
    assert _raw(server, 100)


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
            connection.request("POST", "/api/chat", json.dumps(_CHAT))
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


def test_every_stream_of_two_hundred_ends_well(server: Double) -> None:
    server.faults(tokens_per_second=40)
    body = json.dumps(_GENERATE | {"prompt": "[double tokens=40]"}).encode()
    sent = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    begun, clients = time.monotonic(), []
    with double(server.home / "many", env={"OLLAMA_NUM_PARALLEL": "200"}, models=["tiny-chat"],
                faults={"tokens_per_second": 40}) as many, contextlib.ExitStack() as stack:  # fmt: skip
        for _ in range(200):
            client = stack.enter_context(socket.create_connection((many.host, many.port), timeout=30))
            client.sendall(sent + body)
            clients.append(client)
        for client in clients:
            found = b""
            while piece := client.recv(65536):
                found += piece
            assert found.count(b'"done":false') == 40
            assert found.count(b'"done":true') == 1
    assert time.monotonic() - begun < 60


def test_one_slot_serves_one_call_at_a_time(server: Double) -> None:
    server.faults(tokens_per_second=100)
    call = _GENERATE | {"prompt": "[double tokens=20]"}
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(3) as callers:
        assert all(
            answer.status == 200 for answer in callers.map(lambda _: _post(server, "/api/generate", call), range(3))
        )
    assert time.monotonic() - begun > 0.55


def test_a_stop_cuts_streams_at_once(tmp_path: Path) -> None:
    with double(tmp_path, models=["tiny-chat"], faults={"tokens_per_second": 1}) as server:
        body = json.dumps(_GENERATE).encode()
        with socket.create_connection((server.host, server.port), timeout=5) as client:
            client.sendall(
                b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            assert client.recv(20)
            begun = time.monotonic()
            stopper = threading.Thread(target=server.stop)
            stopper.start()
            with contextlib.suppress(ConnectionError):
                while client.recv(65536):
                    pass
            stopper.join()
        assert time.monotonic() - begun < 4
        assert server.process.returncode == 0


def _until(holds: Any) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
