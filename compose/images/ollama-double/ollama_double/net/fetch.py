"""A small asyncio HTTP client for registries, with failures worded as Go's net/http words them."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ollama_double.godata import quote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_CONNECT_SECONDS = 30.0
_ERRNO = {
    errno.ECONNREFUSED: "connection refused",
    errno.ENETUNREACH: "network is unreachable",
    errno.EHOSTUNREACH: "no route to host",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
    errno.ECONNRESET: "connection reset by peer",
}


class FetchError(Exception):
    """The request got no answer; the text is Go's."""


@dataclass
class Answer:
    """Status, headers (names in lower case) and the body still to be read."""

    status: int
    headers: dict[str, str]
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body; FetchError `unexpected EOF` when it ends early."""
        try:
            if self.headers.get("transfer-encoding") == "chunked":
                while size := int((await self._reader.readline()).split(b";")[0] or b"0", 16):
                    yield await self._reader.readexactly(size)
                    await self._reader.readline()
                return
            left = int(self.headers.get("content-length", -1))
            while left:
                piece = await self._reader.read(1 << 16 if left < 0 else min(left, 1 << 16))
                if not piece:
                    if left > 0:
                        raise FetchError("unexpected EOF")
                    return
                left -= len(piece) if left > 0 else 0
                yield piece
        except (asyncio.IncompleteReadError, ValueError):
            raise FetchError("unexpected EOF") from None
        except ConnectionError as error:
            raise FetchError(f"read tcp: {_ERRNO.get(error.errno or 0, 'connection reset by peer')}") from None

    async def read(self) -> bytes:
        """Return the whole body, and close."""
        try:
            return b"".join([piece async for piece in self.chunks()])
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


async def request(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """Send one request, following no redirect; FetchError with Go's wording when no answer comes."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    verb = method.capitalize()
    try:
        reader, writer = await _connect(host, port, secure=secure)
    except FetchError as error:
        raise FetchError(f"{verb} {quote(url)}: {error}") from None
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", "User-Agent: ollama/double", "Connection: close"]
    lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
    if body or method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    try:
        status, found = await _head(reader)
    except (ConnectionError, ValueError):
        writer.close()
        raise FetchError(f"{verb} {quote(url)}: EOF") from None
    except BaseException:
        writer.close()
        raise
    if method == "HEAD" or status in {204, 304}:
        found["content-length"] = "0"
    return Answer(status, found, reader, writer)


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    _, _, rest = (await reader.readline()).decode("latin-1").partition(" ")
    status = int(rest[:3])
    found: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        key, _, value = line.partition(":")
        found[key.lower()] = value.strip()
    return status, found


async def _connect(host: str, port: int, *, secure: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context() if secure else None
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await asyncio.open_connection(host, port, ssl=context)
    except TimeoutError:
        raise FetchError(f"dial tcp {_address(host, port)}: i/o timeout") from None
    except ssl.SSLCertVerificationError as error:
        raise FetchError(f"tls: failed to verify certificate: x509: {error.verify_message}") from None
    except ssl.SSLError as error:
        if "WRONG_VERSION" in str(error) or "HTTP_REQUEST" in str(error):
            raise FetchError("http: server gave HTTP response to HTTPS client") from None
        raise FetchError(f"tls: {error.reason}") from None
    except socket.gaierror:
        raise FetchError(f"dial tcp: lookup {host}: no such host") from None
    except OSError as error:
        text = _ERRNO.get(error.errno or 0)
        if text is None and "refused" in str(error).lower():
            text = _ERRNO[errno.ECONNREFUSED]
        raise FetchError(f"dial tcp {_address(host, port)}: connect: {text or error}") from None


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
