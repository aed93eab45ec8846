"""What only the double has: its name, its knobs, its faults, its other listeners."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.double import Double, DoubleError, double, until
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
    until(lambda: server.admin("GET", "state")["active"] == 0)


def test_a_loader_that_leaves_is_a_499_in_the_log(server: Double) -> None:
    server.faults(load_seconds=5)
    body = json.dumps(_GENERATE | {"prompt": "gone"}).encode()
    with socket.create_connection((server.host, server.port)) as client:
        client.sendall(
            b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        until(lambda: server.admin("GET", "state")["active"] == 1)
    until(lambda: "| 499 |" in server.log)


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
