"""Answers that no sound server gives, for clients that must survive them."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from ollama_double.net.connection import Connection, GoneError
from ollama_double.net.web import CutError, Response, json_response, text_response

if TYPE_CHECKING:
    from ollama_double.faults import RouteFault

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
_ESCAPES = "\x1b[2J\x1b[31m\x1b]0;owned\x07\u202e"
_HTML = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"


async def answer(fault: RouteFault, connection: Connection) -> Response:
    """Answer as `fault.hostile` says; what breaks HTTP is written raw, and the connection ends."""
    kind = fault.hostile
    if kind == "html":
        return text_response(200, _HTML, "text/html")
    if kind == "deep-json":
        return text_response(200, '{"models":' + "[" * 10_000 + "]" * 10_000 + "}", "application/json; charset=utf-8")
    if kind == "ansi":
        return _ansi()
    if kind == "invalid-utf8":
        body = b'{"models":[{"name":"\xff\xfe\xc3\x28","model":"\xff"}],"version":"\xff\xfe"}'
        return Response(200, body, "application/json; charset=utf-8")
    if kind == "reset":
        raise CutError
    if kind == "silent":
        await asyncio.Event().wait()
    await _raw(kind, fault.bytes, connection)
    raise GoneError


def _ansi() -> Response:
    name = f"evil{_ESCAPES}model:latest"
    details = {
        "format": "gguf",
        "family": _ESCAPES,
        "families": None,
        "parameter_size": _ESCAPES,
        "quantization_level": "",
    }
    model = {"name": name, "model": name, "modified_at": "2026-01-01T00:00:00Z", "size": 1, "digest": _ESCAPES}
    value = {"models": [model | {"details": details}], "version": f"0.1{_ESCAPES}", "error": f"{_ESCAPES} failed"}
    return json_response(value)


async def _raw(kind: str, size: int, connection: Connection) -> None:
    write = connection.write
    if kind == "garbage":
        await write(b"\x00\x01\x02SSH-2.0-not-http\r\n\r\n")
    elif kind == "endless-headers":
        await write(_HEAD)
        number = 0
        while True:
            number += 1
            await write(b"X-Endless-%d: %b\r\n" % (number, b"a" * 1000))
            await asyncio.sleep(0)
    elif kind == "slow-loris":
        for byte in _HEAD + b"X-Slow: " + b"a" * 100_000:
            await write(bytes([byte]))
            await asyncio.sleep(0.5)
    elif kind == "slow-body":
        await write(_HEAD + b"Content-Length: 100000\r\n\r\n")
        for _ in range(100_000):
            await write(b" ")
            await asyncio.sleep(0.5)
    elif kind == "wrong-length":
        await write(_HEAD + b'Content-Length: 1000\r\n\r\n{"models":[]}')
    elif kind == "huge-body":
        await write(_HEAD + b"Content-Length: %d\r\n\r\n" % (size + 14) + b'{"models":["')
        piece = b"a" * 65_536
        while size > 0:
            await write(piece[:size])
            size -= len(piece)
            await asyncio.sleep(0)
        await write(b'"]')
    elif kind == "gzip-bomb":
        await _bomb(size, connection)


async def _bomb(size: int, connection: Connection) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    await connection.write(_HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n")
    piece = b"a" * (1 << 20)
    await connection.write(packer.compress(b'{"models":["'))
    for _ in range(max(1, size >> 20)):
        await connection.write(packer.compress(piece))
        await asyncio.sleep(0)
    await connection.write(packer.compress(b'"]}') + packer.flush())
