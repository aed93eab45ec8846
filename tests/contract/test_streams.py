"""What a table cannot say: order in time, numbers, connections."""

from __future__ import annotations

import base64
import http.client
import json
import math
import socket
import struct
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.rawhttp import ask

if TYPE_CHECKING:
    from tests.contract.servers import Server


def _connect(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30)


def _talk(server: Server, sent: bytes) -> bytes:
    """Send raw bytes, and return all that comes until the server closes."""
    with _connect(server) as client:
        client.sendall(sent)
        found = b""
        while piece := client.recv(65536):
            found += piece
        return found


@pytest.mark.given("chat")
def test_lines_add_up_to_the_whole(server: Server) -> None:
    call = {"model": server.models["chat"], "prompt": "hi", "options": {"temperature": 0, "seed": 1, "num_predict": 12}}
    lines = ask(server.url, "POST", "/api/generate", body=call).lines
    whole = ask(server.url, "POST", "/api/generate", body=call | {"stream": False}).json
    assert "".join(line["response"] for line in lines) == whole["response"]
    assert lines[-1]["eval_count"] == whole["eval_count"]


@pytest.mark.given("chat")
def test_durations_are_nanoseconds(server: Server) -> None:
    begun = time.monotonic_ns()
    call = {"model": server.models["chat"], "prompt": "hi", "options": {"num_predict": 5}}
    last = ask(server.url, "POST", "/api/generate", body=call).lines[-1]
    passed = time.monotonic_ns() - begun
    parts = last["load_duration"] + last["prompt_eval_duration"] + last["eval_duration"]
    assert parts <= last["total_duration"] <= passed


@pytest.mark.given("chat")
def test_one_connection_serves_many_calls(server: Server) -> None:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
    try:
        ports = set()
        for path in ("/", "/api/version", "/nowhere", "/api/tags"):
            connection.request("GET", path)
            connection.getresponse().read()
            ports.add(connection.sock.getsockname()[1] if connection.sock else None)
        call = json.dumps({"model": server.models["chat"], "prompt": "hi", "options": {"num_predict": 3}})
        connection.request("POST", "/api/generate", call)
        answer = connection.getresponse()
        assert answer.getheader("Transfer-Encoding") == "chunked"
        answer.read()
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"Ollama is running"
        assert connection.sock is not None
        assert {connection.sock.getsockname()[1]} == ports
    finally:
        connection.close()


def test_pipelined_calls_are_answered_in_order(server: Server) -> None:
    host = urlsplit(server.url).netloc.encode()
    first = b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
    second = b"GET /api/version HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    found = _talk(server, first + second)
    assert found.count(b"HTTP/1.1 200 OK") == 2
    assert found.index(b"Ollama is running") < found.index(b'"version"')


def test_http_1_0_gets_no_chunks(server: Server) -> None:
    found = _talk(server, b"GET /api/version HTTP/1.0\r\n\r\n")
    assert found.startswith(b"HTTP/1.")
    assert b"Transfer-Encoding" not in found


def test_chunked_request_body(server: Server) -> None:
    host = urlsplit(server.url).netloc.encode()
    head = b"POST /api/show HTTP/1.1\r\nHost: " + host + b"\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    found = _talk(server, head + b'8\r\n{"model"\r\nf\r\n: "ct-missing"}\r\n0\r\n\r\n')
    assert b"404 Not Found" in found
    assert b"model 'ct-missing:latest' not found" in found


def test_expect_100_continue(server: Server) -> None:
    host = urlsplit(server.url).netloc.encode()
    with _connect(server) as client:
        client.sendall(
            b"POST /api/show HTTP/1.1\r\nHost: " + host + b"\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(b"{}")
        assert b"400 Bad Request" in client.recv(4096)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
    ],
    ids=["tls-hello-with-a-line-end", "no-http", "no-host", "no-header"],
)
def test_what_is_no_request_gets_400(server: Server, sent: bytes) -> None:
    found = _talk(server, sent + bytes(200))
    assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Content-Type: text/plain; charset=utf-8" in found


def test_a_tls_hello_is_waited_on_for_its_line_end(server: Server) -> None:
    with _connect(server) as client:
        client.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(200))
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(5)
        client.sendall(b"\n")
        assert client.recv(30).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_request_without_a_host_is_told_what_it_lacks(server: Server) -> None:
    assert _talk(server, b"GET / HTTP/1.1\r\n\r\n").endswith(b"400 Bad Request: missing required Host header")


def test_endless_header_gets_431(server: Server) -> None:
    with _connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        try:
            for _ in range(40):
                client.sendall(b"a" * 65536)
        except ConnectionError:
            return
        assert client.recv(100).startswith(b"HTTP/1.1 431 ")


def _embed(server: Server, given: Any, **more: Any) -> list[list[float]]:
    body = {"model": server.models["embed"], "input": given, **more}
    return list(ask(server.url, "POST", "/api/embed", body=body).json["embeddings"])


@pytest.mark.given("embed")
def test_vectors_have_length_one(server: Server) -> None:
    for vector in _embed(server, ["a", "some longer text, with words", "a"]):
        assert math.isclose(math.sqrt(sum(value * value for value in vector)), 1.0, rel_tol=1e-4)


@pytest.mark.given("embed")
def test_same_text_same_vector(server: Server) -> None:
    first, other, again = _embed(server, ["the quick fox", "tax forms", "the quick fox"])
    assert first == pytest.approx(again, abs=1e-5)
    assert first != pytest.approx(other, abs=1e-2)


@pytest.mark.given("embed")
def test_dimensions_cut_then_normalise(server: Server) -> None:
    (whole,), (cut,) = _embed(server, "a b c"), _embed(server, "a b c", dimensions=8)
    norm = math.sqrt(sum(value * value for value in whole[:8]))
    assert cut == pytest.approx([value / norm for value in whole[:8]], abs=1e-4)


@pytest.mark.given("embed")
def test_base64_is_little_endian_floats(server: Server) -> None:
    body = {"model": server.models["embed"], "input": "a b"}
    plain = ask(server.url, "POST", "/v1/embeddings", body=body).json["data"][0]["embedding"]
    body |= {"encoding_format": "base64"}
    packed = ask(server.url, "POST", "/v1/embeddings", body=body).json["data"][0]["embedding"]
    assert list(struct.unpack(f"<{len(plain)}f", base64.b64decode(packed))) == pytest.approx(plain, abs=1e-6)


@pytest.mark.given("chat")
def test_forever_is_two_centuries_and_more(server: Server) -> None:
    model = server.models["chat"]
    ask(server.url, "POST", "/api/generate", body={"model": model, "keep_alive": -1})
    try:
        (found,) = [each for each in ask(server.url, "GET", "/api/ps").json["models"] if each["name"].startswith(model)]
        assert found["expires_at"] > "2300"
    finally:
        ask(server.url, "POST", "/api/generate", body={"model": model, "keep_alive": 0})
