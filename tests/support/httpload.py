"""A small HTTP/1.1 client for load: keeps connections, never retries, tells exactly what failed.

Strict on purpose: a consumer that does not retry must see no failure, so a
request on a kept connection that the server closed counts as failed unless the
close had arrived before the request was written (what every pool looks at).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Sample:
    """One request: when it started and ended (monotonic seconds), and what came of it."""

    started: float
    ended: float = 0.0
    status: int = 0
    instance: str = ""
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.status == 200 and not self.error

    @property
    def ms(self) -> float:
        return (self.ended - self.started) * 1000


class Connection:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.kept = reader, writer, True

    @classmethod
    async def open(cls, url: str) -> Connection:
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20))

    def usable(self) -> bool:
        return self.kept and not self.reader.at_eof() and not self.writer.is_closing()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.writer.close()

    def send(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: ollama:11434\r\nContent-Type: {content_type}\r\n"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        self.kept = headers.get("connection", "").lower() != "close"
        return int(first.split()[1]), headers

    async def chunks(self, headers: dict[str, str]) -> AsyncIterator[bytes]:
        if headers.get("transfer-encoding") != "chunked":
            yield await self.reader.readexactly(int(headers.get("content-length", "0")))
            return
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")


@dataclass
class Client:
    """A pool of kept connections to one base URL."""

    url: str
    idle: list[Connection] = field(default_factory=list)

    async def take(self, *, fresh: bool = False) -> Connection:
        while self.idle and not fresh:
            connection = self.idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return await Connection.open(self.url)

    def give(self, connection: Connection) -> None:
        if connection.usable():
            self.idle.append(connection)
        else:
            connection.close()

    async def request(
        self, method: str, path: str, options: dict[str, Any] | None = None, *, fresh: bool = False
    ) -> Sample:
        body = json.dumps({"model": "m", "options": options or {}}).encode() if method == "POST" else b""
        sample = Sample(time.monotonic())
        connection: Connection | None = None
        try:
            async with asyncio.timeout(30):
                connection = await self.take(fresh=fresh)
                connection.send(method, path, body)
                sample.status, headers = await connection.head()
                sample.instance = headers.get("x-stackctl-instance", "")
                async for _ in connection.chunks(headers):
                    pass
                self.give(connection)
        except (OSError, EOFError, TimeoutError, ValueError, IndexError) as error:
            sample.error = f"{type(error).__name__}: {error}"
            if connection:
                connection.close()
        sample.ended = time.monotonic()
        return sample

    async def stream(self, options: dict[str, Any], seen: Callable[[int], None] = lambda _n: None) -> tuple[int, str]:
        """One stream of tokens: how many lines came, and what was wrong (empty when it ended with ``done``)."""
        count, last = 0, b""
        connection = await Connection.open(self.url)
        try:
            connection.send("POST", "/api/chat", json.dumps({"stream": True, "options": options}).encode())
            status, headers = await connection.head()
            if status != 200:
                return 0, f"status {status}"
            async for chunk in connection.chunks(headers):
                count += chunk.count(b"\n")
                seen(count)
                last = (last + chunk)[-200:]
        except (OSError, EOFError, ValueError) as error:
            return count, f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        return count, "" if b'"done": true' in last else "no done"

    async def drain(self, options: dict[str, Any]) -> int:
        """One stream read as raw bytes, which costs next to nothing: how many tokens came before its last line."""
        connection = await Connection.open(self.url)
        connection.send("POST", "/api/chat", json.dumps({"model": "m", "stream": True, "options": options}).encode())
        count, last = 0, b""
        while not last.endswith(b"\r\n0\r\n\r\n"):
            data = await connection.reader.read(1 << 18)
            if not data:
                raise EOFError("the stream broke off")
            count += data.count(b"{")
            last = (last + data)[-16:]
        connection.close()
        return count - 1

    async def load(
        self, rate: float, until: Callable[[], bool], kinds: list[tuple[str, str, dict[str, Any], bool]]
    ) -> list[Sample]:
        """``rate`` requests a second, each started on time whatever became of the others, kinds in turn."""
        tasks: list[asyncio.Task[Sample]] = []
        begin = time.monotonic()
        while not until():
            method, path, options, fresh = kinds[len(tasks) % len(kinds)]
            tasks.append(asyncio.create_task(self.request(method, path, options, fresh=fresh)))
            await asyncio.sleep(max(0.0, begin + len(tasks) / rate - time.monotonic()))
        return list(await asyncio.gather(*tasks))

    async def close(self) -> None:
        """Close the kept connections, and let the loop notice."""
        for connection in self.idle:
            connection.close()
            with contextlib.suppress(OSError):
                await connection.writer.wait_closed()
        self.idle.clear()
        await asyncio.sleep(0)
