"""Answers of hostile servers: bounded, and never trusted."""

from __future__ import annotations

import pytest

from stackctl.diagnose import http_reply as http


def test_ollama_answer() -> None:
    reply = http.read(b'HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n\r\n{"version":"0.33.0"}')
    assert (reply.status, reply.type, http.version(reply)) == (200, "application/json", "0.33.0")


def test_chunked_body() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    assert http.read(raw).body == b"hello world"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x01\x02",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"\xff\xfe" * 1000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 10_000 + b"]" * 10_000,
        b'HTTP/1.1 200 OK\r\n\r\n{"models": 5}',
        b'HTTP/1.1 200 OK\r\n\r\n{"models": [null, 5, {"name": 7}]}',
        b'HTTP/1.1 200 OK\r\n\r\n{"version": {"a": 1}}',
    ],
)
def test_nothing_raises(raw: bytes) -> None:
    reply = http.read(raw)
    assert len(reply.headers) <= http.MAX_HEADERS
    http.model_names(reply)
    assert http.version(reply) is None
    assert isinstance(reply.error, str)
    assert isinstance(reply.text, str)


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("qwen3", "qwen3:latest"),
        ("Qwen3:8B", "qwen3:8b"),
        ("library/qwen3:8b", "qwen3:8b"),
        ("hf.co/u/r:Q4", "hf.co/u/r:q4"),
    ],
)
def test_names_compare_as_the_server_does(asked: str, stored: str) -> None:
    assert http.full_name(asked) == http.full_name(stored)
