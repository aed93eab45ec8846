"""Accepting connections: plain or TLS, and the faults that happen before HTTP does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from ollama_double.net.connection import LINGER, Connection, Serve

if TYPE_CHECKING:
    import ssl

    from ollama_double.faults import Faults

_PLAIN_ON_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
    b"<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n<body>\r\n"
    b"<center><h1>400 Bad Request</h1></center>\r\n"
    b"<center>The plain HTTP request was sent to HTTPS port</center>\r\n</body>\r\n</html>\r\n"
)


class Listener:
    """One bound socket and the connections that came through it."""

    def __init__(self, bound: socket.socket, serve: Serve, faults: Faults, cert: str, key: str) -> None:
        self._bound = bound
        self._serve = serve
        self._faults = faults
        self._context = _context(cert, key) if cert else None
        self._live: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve_until(self, stopped: asyncio.Event) -> None:
        """Accept until told to stop; then cut every connection at once, as the real server does."""
        accepting = asyncio.create_task(self._accept())
        await stopped.wait()
        accepting.cancel()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._live):
            connection.cut()
        self._bound.close()
        with contextlib.suppress(asyncio.CancelledError):
            await accepting

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._bound)
            except OSError:
                # Out of file descriptors: wait for some to be given back.
                await asyncio.sleep(0.05)
                continue
            if self._context is None and self._faults.accept == "ok":
                await loop.connect_accepted_socket(lambda: Connection(self._serve, self._live), client)
                continue
            task = loop.create_task(self._one(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, client: socket.socket) -> None:
        mode = self._faults.accept
        if self._faults.accept_times > 0:
            self._faults.accept_times -= 1
            if not self._faults.accept_times:
                self._faults.accept, self._faults.accept_times = "ok", -1
        if mode == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        if mode == "silent":
            try:
                await asyncio.Event().wait()
            finally:
                client.close()
        loop = asyncio.get_running_loop()
        try:
            first = await _peek(client)
            if first[:1] not in {b"\x16", b""}:
                await _refuse_plain(client)
                return
            await loop.connect_accepted_socket(lambda: Connection(self._serve, self._live), client, ssl=self._context)
        except OSError:
            client.close()


async def _peek(client: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(client.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(client.fileno())
    return client.recv(1, socket.MSG_PEEK)


async def _refuse_plain(client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(client, _PLAIN_ON_TLS)
        client.shutdown(socket.SHUT_WR)
        # Closing with the request unread would reset the connection before the client has the answer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while await loop.sock_recv(client, 65536):
                    pass
    finally:
        client.close()


def _context(cert: str, key: str) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - only a double with TLS needs it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key or None)
    return context
