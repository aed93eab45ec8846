"""A stand-in for an Ollama behind the gateway: standard library only, run in a container by ``python3 -c``.

It streams like Ollama, remembers what it was asked (``GET /seen``), and fails on
demand. Settings come from the environment: NAME, PORT, PREFIX, AUTHORIZATION
(the exact header it wants), CERT and KEY (PEM text), HEALTH_DELAY (seconds).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import tempfile
from typing import Any

NAME = os.environ.get("NAME", "upstream")
PREFIX = os.environ.get("PREFIX", "")
HEALTH = (f"{PREFIX}/api/version", f"{PREFIX}/health")
WANTED = os.environ.get("AUTHORIZATION", "")
state: dict[str, Any] = {"health_delay": float(os.environ.get("HEALTH_DELAY", "0")), "health_status": 200, "left": 0}
seen: list[dict[str, Any]] = []
open_streams: set[asyncio.StreamWriter] = set()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    elif length := int(headers.get("content-length", "0")):
        body = await reader.readexactly(length)
    return method, path, headers, body


def answer(writer: asyncio.StreamWriter, status: int, value: Any, extra: str = "") -> None:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    writer.write(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(data)}\r\n{extra}\r\n".encode()
        + data
    )


async def stream(writer: asyncio.StreamWriter, options: dict[str, Any]) -> None:
    open_streams.add(writer)
    try:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
        for index in range(int(options.get("tokens", 3))):
            if interval := options.get("interval", 0):
                await asyncio.sleep(interval)
            if state.get("finish"):
                break
            if index == options.get("break_at"):
                writer.transport.abort()
                return
            line = json.dumps({"model": NAME, "response": f"t{index} ", "done": False}).encode() + b"\n"
            writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            await writer.drain()
        line = json.dumps({"model": NAME, "response": "", "done": True}).encode() + b"\n"
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(line), line))
    finally:
        open_streams.discard(writer)


async def pause(reader: asyncio.StreamReader, seconds: float) -> None:
    """Wait; remember a client that leaves meanwhile, and stop."""
    try:
        await asyncio.wait_for(reader.read(1), seconds)
    except TimeoutError:
        return
    except ConnectionError:
        pass
    state["left"] += 1
    raise ConnectionResetError


def of_itself(path: str, body: bytes) -> dict[str, Any] | None:
    """What the test asks or orders of the stand-in itself; None for a call that an Ollama would answer."""
    if path == "/seen":
        return {"seen": seen, "open": len(open_streams), "left": state["left"]}
    if path == "/control":
        state.update(json.loads(body))
        if state.get("listen") is False:
            state["server"].close()
        return {k: v for k, v in state.items() if k != "server"}
    return None


async def checked(path: str, headers: dict[str, str]) -> tuple[int, Any] | None:
    """The answer to a wrong token, a path outside the prefix, or a health check; None for any other call."""
    if WANTED and headers.get("authorization") != WANTED:
        return 401, {"error": "unauthorized"}
    if not path.startswith(PREFIX):
        return 404, b"404 page not found"
    if path in HEALTH:
        await asyncio.sleep(state["health_delay"])
        return state["health_status"], {"version": "0.33.0", "name": NAME}
    return None


async def respond(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    if (own := of_itself(path, body)) is not None:
        answer(writer, 200, own)
        return
    if path not in HEALTH:
        seen.append({"method": method, "path": path, "headers": headers, "length": len(body)})
    if (early := await checked(path, headers)) is not None:
        answer(writer, *early)
        return
    json_body = body and headers.get("content-type", "").startswith("application/json")
    options = json.loads(body).get("options", {}) if json_body else {}
    if status := options.get("status"):
        answer(writer, status, {"error": f"{NAME} says {status}"})
    elif options.get("hang_up") in (NAME, True) or f"hang_up={NAME}" in path:
        writer.transport.abort()
    else:
        if first := options.get("first"):
            await pause(reader, first)
        if options.get("tokens"):
            await stream(writer, options)
        else:
            answer(writer, 200, {"name": NAME, "path": path, "length": len(body)})


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while not writer.transport.is_closing():
            method, path, headers, body = await read_request(reader)
            await respond(method, path, headers, body, reader, writer)
            await writer.drain()
            if headers.get("connection", "").lower() == "close":
                break
    writer.close()


async def main() -> None:
    context = None
    if os.environ.get("CERT"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
            pem.write(os.environ["CERT"] + "\n" + os.environ["KEY"])
            pem.flush()
            context.load_cert_chain(pem.name)
    port = int(os.environ.get("PORT", "11434"))
    server = await asyncio.start_server(serve, "0.0.0.0", port, ssl=context, backlog=1024)
    state["server"] = server
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
