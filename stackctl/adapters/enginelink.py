"""Connections to one engine's API, for ``httpx``: by its unix socket, or through ``docker system dial-stdio``.

Both ways share one stream, because ``httpx``'s own unix-socket transport bounds each read and never the whole: an
engine that sends one byte a second would hold a verb for hours. Here the time of a request runs from its sending to the
last byte of its answer.
"""

from __future__ import annotations

import select
import socket
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import httpcore
import httpx

from stackctl.adapters import process


class EngineTransport(httpx.BaseTransport):
    """Requests over pooled connections to ``path``, or, where it is None, to what ``docker_argv`` dials.

    Raises ``httpx.TimeoutException`` and ``httpx.TransportError`` as ``httpx``'s own transports do.
    """

    def __init__(self, path: str | None, docker_argv: Sequence[str]) -> None:
        self._pool = httpcore.ConnectionPool(max_connections=16, network_backend=_Backend(path, docker_argv))
        # No command knows which read is its last, so connections are closed when the transport is collected.
        weakref.finalize(self, self._pool.close).atexit = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the body is read by the caller, piece by piece."""
        url = httpcore.URL(scheme=b"http", host=b"docker", port=80, target=request.url.raw_path)
        with _Errors(request):
            answer = self._pool.handle_request(
                httpcore.Request(
                    request.method,
                    url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer, request))

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


class _Errors:
    """Translates errors of ``httpcore`` into those of ``httpx``."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, httpcore.TimeoutException):
            raise httpx.ReadTimeout(str(error), request=self._request) from error
        if isinstance(error, httpcore.NetworkError):
            raise httpx.NetworkError(str(error), request=self._request) from error
        if isinstance(error, httpcore.ProtocolError):
            raise httpx.RemoteProtocolError(str(error), request=self._request) from error


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response, request: httpx.Request) -> None:
        self._answer, self._request = answer, request

    def __iter__(self) -> Iterator[bytes]:
        with _Errors(self._request):
            yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _Backend(httpcore.NetworkBackend):
    """Connects to the engine, whatever host and port the request names."""

    def __init__(self, path: str | None, docker_argv: Sequence[str]) -> None:
        self._path, self._argv = path, list(docker_argv)

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002
        port: int,  # noqa: ARG002
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """A new connection."""
        try:
            return self._dialled() if self._path is None else _Stream(_connected(self._path, timeout))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    def _dialled(self) -> _Stream:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                client = process.spawn(
                    [*self._argv, "system", "dial-stdio"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=process.DEVNULL,
                )
        except OSError:
            ours.close()
            raise
        return _Stream(ours, client)


def _connected(path: str, timeout: float | None) -> socket.socket:
    ours = socket.socket(socket.AF_UNIX)
    try:
        ours.settimeout(timeout)
        ours.connect(path)
    except OSError:
        ours.close()
        raise
    return ours


class _Stream(httpcore.NetworkStream):
    """One connection. The timeout given to the last write is that of the whole answer to it."""

    def __init__(self, sock: socket.socket, client: process.Running | None = None) -> None:
        self._socket, self._client = sock, client
        self._end: float | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002  (see the class)
        try:
            self._socket.settimeout(None if self._end is None else max(0.001, self._end - time.monotonic()))
            return self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._socket.close()
        if self._client is not None:
            # It ends by itself when its input closes; a hanging ssh connection is killed instead of waited for.
            with suppress(process.TimeoutExpired):
                self._client.wait(0.2)
                return
            self._client.kill()
            self._client.wait()

    def get_extra_info(self, info: str) -> object:
        # The pool asks before it uses a connection again: one that can be read while it is idle has been closed.
        return bool(select.select([self._socket], [], [], 0)[0]) if info == "is_readable" else None
