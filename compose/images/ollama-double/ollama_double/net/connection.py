"""HTTP/1.1 on one connection: parse requests, write responses, notice that the client left."""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

from ollama_double import SERVER, log
from ollama_double.net.web import CutError, Headers, Request, Response

MAX_HEADER = 1 << 20
HIGH_WATER = 1 << 18
LINGER = 0.5
BUFFERED = 2048  # net/http sends a Content-Length by itself only for bodies up to this size

Serve = Callable[[Request, "Connection"], Awaitable[Response]]
_date: dict[str, int | str] = {"second": 0, "text": ""}
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class BadRequestError(Exception):
    """The bytes are no HTTP request; holds the status and the text of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class GoneError(Exception):
    """The client closed the connection."""


class Connection(asyncio.Protocol):
    """One client connection; requests are served one after the other, pipelined ones too."""

    def __init__(self, serve: Serve, live: set[Connection]) -> None:
        self._serve = serve
        self._live = live
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = False
        self.half_closed = False
        """The client has closed its sending half: nothing more comes, but it may still read."""
        self.bound = False
        """What is served now ends as soon as the client closes its sending half."""
        self._task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve."""
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.client = str(peer[0]).removeprefix("::ffff:") if peer else ""
        self._live.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes) -> None:
        """Keep what arrived; stop reading while much of it is unread."""
        self._buffer += data
        self._arrived.set()
        if len(self._buffer) > HIGH_WATER:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep a half-closed connection for the answer; net/http cancels the request, which not every handler heeds."""
        if self.bound or not self.transport.can_write_eof():  # over TLS there is no half
            return False
        self.half_closed = True
        self._arrived.set()
        return True

    def bind(self) -> None:
        """Let what is served now end with the client's sending half, even where that is closed already."""
        self.bound = True
        if self.half_closed:
            self.transport.close()
            raise GoneError

    async def heard_end(self, seconds: float) -> bool:
        """Work for so long; say whether the client has closed its sending half by then."""
        await asyncio.sleep(seconds)
        return self.half_closed

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what is being served: this is how a pull or a generation is stopped."""
        del exc
        self._closed = True
        self._live.discard(self)
        self._arrived.set()
        self._writable.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """Hold the stream: the client reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let the stream go on."""
        self._writable.set()

    async def _run(self) -> None:
        try:
            while not self._closed and await self._one():
                pass
        except (GoneError, asyncio.CancelledError, ConnectionError):
            pass
        except BadRequestError as error:
            self.transport.write(
                f"HTTP/1.1 {error.status} {_PHRASES[error.status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                f"Connection: close\r\n\r\n{error.status} {error}".encode()
            )
            await self._linger()
        except CutError:
            self.transport.abort()
        except Exception:  # noqa: BLE001 - one request's bug must not end the server
            log.raw(traceback.format_exc())
        finally:
            self.transport.close()

    async def _one(self) -> bool:
        head = await self._head()
        method, target, version, headers = _parse(head)
        body = _Body(self, headers, version)
        request = Request(method, target, headers, body, self.client)
        if version == "HTTP/1.1" and request.header("Host") is None:
            raise BadRequestError(400, "Bad Request: missing required Host header")
        self.bound = False
        response = await self._serve(request, self)
        asked = (request.header("Connection") or "").lower()
        keep = "close" not in asked if version == "HTTP/1.1" else "keep-alive" in asked
        if not body.done:
            keep = keep and await body.drop()
        await self._answer(request, response, version, keep=keep)
        if not body.done:
            await self._linger()
        return keep

    async def _linger(self) -> None:
        # Closing while bytes are unread resets the connection, and the client may lose the answer with it.
        if self._closed or not self.transport.can_write_eof():
            return
        self.transport.write_eof()
        with contextlib.suppress(TimeoutError, GoneError):
            async with asyncio.timeout(LINGER):
                while True:
                    self._buffer.clear()
                    await self.more()

    async def _head(self) -> bytes:
        start = 0
        while True:
            end = self._buffer.find(b"\r\n\r\n", start)
            if end >= 0:
                head = bytes(self._buffer[:end])
                self.consume(end + 4)
                return head.lstrip(b"\r\n")
            if len(self._buffer) > MAX_HEADER:
                raise BadRequestError(431, "Request Header Fields Too Large")
            start = max(0, len(self._buffer) - 3)
            line = self._buffer.find(b"\n")
            if line >= 0 and not _plausible(self._buffer):
                raise BadRequestError(400, "Bad Request")
            await self.more()

    async def more(self) -> None:
        """Wait for bytes; GoneError when there will be none."""
        if self._closed or self.half_closed:
            raise GoneError
        # What is unread does not suffice, so a pause for the sake of the buffer ends here.
        self.transport.resume_reading()
        self._arrived.clear()
        await self._arrived.wait()

    def peek(self) -> bytearray:
        """Return the unread bytes."""
        return self._buffer

    def consume(self, count: int) -> None:
        """Drop `count` unread bytes and read on."""
        del self._buffer[:count]
        if len(self._buffer) <= HIGH_WATER and not (self._closed or self.half_closed):
            self.transport.resume_reading()

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting while the client is slow."""
        if self._closed:
            raise GoneError
        self.transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()

    async def _answer(self, request: Request, response: Response, version: str, *, keep: bool) -> None:
        chunked = False
        if response.stream is not None or len(response.body) > BUFFERED:
            chunked = version == "HTTP/1.1"
            keep = keep and chunked
        headers: Headers = list(response.headers)
        if response.content_type is not None:
            headers.append(("Content-Type", response.content_type))
        headers += [("Server", SERVER), ("Date", _http_date())]
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif response.stream is None and response.status not in {204, 304}:
            headers.append(("Content-Length", str(len(response.body))))
        if not keep:
            headers.append(("Connection", "close"))
        reason = _PHRASES.get(response.status, "status code")
        lines = [f"HTTP/1.1 {response.status} {reason}", *(f"{key}: {value}" for key, value in headers), "", ""]
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        if request.method == "HEAD":
            await self.write(head)
        elif response.stream is None:
            await self.write(head + (_chunk(response.body) + b"0\r\n\r\n" if chunked else response.body))
        else:
            await self._stream(head, response.stream, chunked=chunked)

    async def _stream(self, head: bytes, stream: AsyncIterator[bytes], *, chunked: bool) -> None:
        pending = head
        try:
            async for piece in stream:
                await self.write(pending + (_chunk(piece) if chunked else piece))
                pending = b""
            await self.write(pending + (b"0\r\n\r\n" if chunked else b""))
        except CutError:
            # What was said before the cut is to reach the client: close, not abort.
            self.transport.close()
            raise GoneError from None
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    def cut(self) -> None:
        """Close at once, dropping what is unsent."""
        self.transport.abort()


class _Body:
    """The body of one request, by Content-Length or chunked."""

    def __init__(self, connection: Connection, headers: Headers, version: str) -> None:
        self._connection = connection
        named = {key.lower(): value.strip() for key, value in headers}
        self._chunked = named.get("transfer-encoding", "").lower() == "chunked" and version == "HTTP/1.1"
        length = named.get("content-length", "0")
        if not length.isdecimal():
            raise BadRequestError(400, "Bad Request")
        self._left = 0 if self._chunked else int(length)
        self._expect = named.get("expect", "").lower() == "100-continue"
        self.done = not self._chunked and self._left == 0

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece."""
        if self._expect and not self.done:
            self._expect = False
            await self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._chunked:
            async for piece in self._chunked_pieces():
                yield piece
        while self._left:
            piece = await self._some(self._left)
            self._left -= len(piece)
            yield piece
        self.done = True

    async def drop(self) -> bool:
        """Read away what the handler left, up to 256 KiB; say whether the connection can live on."""
        if self._expect:
            return False
        dropped = 0
        async for piece in self.chunks():
            dropped += len(piece)
            if dropped > HIGH_WATER:
                return False
        return True

    async def _some(self, limit: int) -> bytes:
        buffer = self._connection.peek()
        while not buffer:
            await self._connection.more()
        piece = bytes(buffer[:limit])
        self._connection.consume(len(piece))
        return piece

    async def _line(self) -> bytes:
        buffer = self._connection.peek()
        while (end := buffer.find(b"\r\n")) < 0:
            if len(buffer) > 4096:
                raise BadRequestError(400, "Bad Request")
            await self._connection.more()
        line = bytes(buffer[:end])
        self._connection.consume(end + 2)
        return line

    async def _chunked_pieces(self) -> AsyncIterator[bytes]:
        while True:
            text = (await self._line()).split(b";")[0].strip()
            try:
                size = int(text, 16)
            except ValueError:
                raise BadRequestError(400, "Bad Request") from None
            if size == 0:
                while await self._line():
                    pass
                self._chunked = False
                return
            while size:
                piece = await self._some(size)
                size -= len(piece)
                yield piece
            await self._line()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _plausible(buffer: bytearray) -> bool:
    # A TLS hello or other binary greeting never has a blank line: its first line is judged alone.
    return 65 <= buffer[0] <= 122 or buffer[0] in b"\r\n"


def _parse(head: bytes) -> tuple[str, str, str, Headers]:
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[0].isascii() or not parts[2].startswith("HTTP/1."):
        status = 505 if len(parts) == 3 and parts[2].startswith("HTTP/") else 400
        text = "HTTP Version Not Supported: unsupported protocol version" if status == 505 else "Bad Request"
        raise BadRequestError(status, text)
    headers: Headers = []
    for text in lines[1:]:
        key, colon, value = text.partition(":")
        if not colon or not key or key != key.strip():
            raise BadRequestError(400, "Bad Request")
        headers.append((key, value.strip()))
    return parts[0], parts[1], parts[2], headers


def _http_date() -> str:
    second = int(time.time())
    if second != _date["second"]:
        # Not strftime: its names of days and months follow the locale.
        now = time.gmtime(second)
        day, month = _DAYS[now.tm_wday], _MONTHS[now.tm_mon - 1]
        text = f"{day}, {now.tm_mday:02d} {month} {now.tm_year} {now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d} GMT"
        _date["second"], _date["text"] = second, text
    return str(_date["text"])
