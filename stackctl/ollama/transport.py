"""The connection to a server: own paths, credentials, TLS, pinned addresses, and bounds on its answers.

An ``httpx`` transport over ``httpcore``, so that the official client and plain
``httpx`` talk alike. Whatever host the request names, it goes to this server.
Failures of the connection are raised as :class:`OllamaError`.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

import httpcore
import httpx

from stackctl.config.url import HOST_ALIAS
from stackctl.errors import WrongInput
from stackctl.ollama import unreached
from stackctl.ollama.errors import Kind, OllamaError
from stackctl.ollama.server import Server
from stackctl.ollama.text import plain

PLACEHOLDER = "instance"
MAX_BODY = 32 << 20
MAX_ERROR_BODY = 1 << 20
MAX_LINE = 8 << 20
FIRST_TOKEN = 600.0
PULL_SILENCE = 1800.0
# Calls that answer with a stream, or say nothing until a model is loaded (ollama 0.33 sends no header before that).
_GENERATING = frozenset({"/api/chat", "/api/generate", "/api/embed", "/api/embeddings"})
_LONG = frozenset({"/api/pull", "/api/push", "/api/create"})


class Budget:
    """How long the call in hand may take: ``until`` on the monotonic clock, and what it waits for."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self.phase = "connect"

    def extend(self, seconds: float) -> None:
        """A new term, counted from now."""
        self.until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, at least a hair, so that a socket's own timeout fires."""
        return max(0.001, self.until - time.monotonic())


# httpcore works a request in the thread of its caller, so the thread finds the budget of its call.
_current = threading.local()


@contextmanager
def _spending(budget: Budget) -> Iterator[None]:
    before = getattr(_current, "budget", None)
    _current.budget = budget
    try:
        yield
    finally:
        _current.budget = before


def _left(timeout: float | None) -> float | None:
    budget: Budget | None = getattr(_current, "budget", None)
    if budget is None:
        return timeout
    return budget.left if timeout is None else min(timeout, budget.left)


class _GuardedStream(httpcore.NetworkStream):
    """A connection whose reads together are bounded by the budget of the call, so that a trickle cannot hold it."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        budget: Budget | None = getattr(_current, "budget", None)
        if budget is not None and time.monotonic() >= budget.until:
            raise httpcore.ReadTimeout("the call took too long")
        return self._inner.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _GuardedStream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects to the pinned address, whatever the name; the name stays for ``Host``, SNI and verification."""

    def __init__(self, inner: httpcore.NetworkBackend, address: str | None) -> None:
        self._inner = inner
        self._address = address

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._inner.connect_tcp(self._address or host, port, _left(timeout), local_address, socket_options)
        return _GuardedStream(stream)


class Transport(httpx.BaseTransport):
    """To one server. ``backend`` replaces the way to the network (a relay into a container).

    ``deadline``, on the monotonic clock, ends every call by then, whatever its own term.
    """

    def __init__(self, server: Server, *, backend: httpcore.NetworkBackend | None = None) -> None:
        self.server = server
        self.deadline: float | None = None
        self._url = str(server.url)
        self._lock = threading.Lock()
        self._headers: dict[str, str] | None = None
        self._pool: httpcore.ConnectionPool | None = None
        self._through = backend

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. ``OllamaError`` where no answer comes; ``WrongInput`` where a secret is missing."""
        asked = request.url.path
        target = request.url.raw_path.decode("ascii")
        _, mark, query = target.partition("?")
        wire = (
            self.server.path(asked)
            if asked in self.server.endpoints
            else self.server.url.prefix + target.partition("?")[0]
        )
        url = httpcore.URL(
            scheme=self.server.url.scheme.encode(),
            host=self.server.url.host.encode(),
            port=self.server.url.port,
            target=(wire + mark + query).encode("ascii"),
        )
        extensions = dict(request.extensions)
        if self.server.server_name:
            extensions["sni_hostname"] = self.server.server_name
        core = httpcore.Request(
            request.method, url, headers=self._merged(request), content=request.stream, extensions=extensions
        )
        budget = Budget(self._term(asked))
        if self.deadline is not None:
            budget.until = min(budget.until, self.deadline)
        with _spending(budget), self._translating_errors(budget):
            budget.phase = "answer"
            response = self._connections().handle_request(core)
        budget.phase = "body"
        body = _Body(self, response, budget, self._silence(asked, response.status))
        return httpx.Response(response.status, headers=response.headers, stream=body, extensions=response.extensions)

    def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            self._pool.close()

    def _term(self, asked: str) -> float:
        if asked in _GENERATING:
            return max(self.server.timeout, FIRST_TOKEN)
        return PULL_SILENCE if asked in _LONG else self.server.timeout

    def _silence(self, asked: str, status: int) -> float | None:
        """Longest silence between two lines of a stream; None where the whole body must fit the first term."""
        if status >= 300:
            return None
        if asked in _LONG:
            return PULL_SILENCE
        return max(self.server.timeout, 60.0) if asked in _GENERATING else None

    def _merged(self, request: httpx.Request) -> list[tuple[bytes, bytes]]:
        with self._lock:
            if self._headers is None:
                self._headers = dict(self.server.headers())
        # The official client sends OLLAMA_API_KEY of the environment as a bearer token: this server must not get it.
        own = {name.lower() for name in self._headers} | {"authorization", "accept-encoding"}
        if request.url.host == PLACEHOLDER and request.headers.get("host") == PLACEHOLDER:
            own.add("host")
        sent = [(name, value) for name, value in request.headers.raw if name.decode("ascii").lower() not in own]
        host = [("Host", _host(self.server.url.netloc))] if "host" in own and not _has_host(self._headers) else []
        # Compressed answers are not asked for and refused: a decompression bomb would pass every bound.
        ours = [*host, ("Accept-Encoding", "identity"), *self._headers.items()]
        return [*((name.encode("ascii"), value.encode("ascii")) for name, value in ours), *sent]

    def _connections(self) -> httpcore.ConnectionPool:
        with self._lock:
            if self._pool is None:
                context = _context(self.server) if self.server.url.scheme == "https" else None
                backend = _Backend(
                    self._through or httpcore.SyncBackend(), _address(self.server, self._through is not None)
                )
                self._pool = httpcore.ConnectionPool(
                    ssl_context=context, max_connections=16, keepalive_expiry=30.0, network_backend=backend
                )
            return self._pool

    @contextmanager
    def _translating_errors(self, budget: Budget) -> Iterator[None]:
        url, host = self._url, self.server.url.host
        try:
            yield
        except (httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
            raise unreached.timeout(url, "connect") from error
        except (httpcore.ReadTimeout, httpcore.WriteTimeout) as error:
            raise unreached.timeout(url, budget.phase) from error
        except httpcore.ConnectError as error:
            raise unreached.from_connect(url, host, error) from error
        except (httpcore.ReadError, httpcore.WriteError) as error:
            if budget.phase == "answer":
                raise unreached.from_connect(url, host, error) from error
            raise OllamaError(Kind.CUT, f"{url} cut the connection in the middle of an answer") from error
        except httpcore.RemoteProtocolError as error:
            raise _protocol(url, budget, str(error)) from error
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, UnicodeError) as error:
            raise OllamaError(Kind.SETTING, f"no request to {url} can be made: {error}") from error


class _Body(httpx.SyncByteStream):
    """The body of an answer, bounded in size and time."""

    def __init__(
        self, transport: Transport, response: httpcore.Response, budget: Budget, silence: float | None
    ) -> None:
        self._transport, self._response, self._budget, self._silence = transport, response, budget, silence

    def __iter__(self) -> Iterator[bytes]:
        url = str(self._transport.server.url)
        limit = MAX_ERROR_BODY if self._response.status >= 300 else MAX_BODY
        head = {name.lower(): value for name, value in self._response.headers}
        if head.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
            raise OllamaError(
                Kind.NOT_OLLAMA,
                f"{url} compresses its answer though it was not asked to",
                hint="switch compression off in the proxy in front of it",
            )
        length = head.get(b"content-length", b"")
        if self._silence is None and length.isdigit() and len(length) < 20 and int(length) > limit:
            raise too_large(url, limit)
        with _spending(self._budget), self._transport._translating_errors(self._budget):  # noqa: SLF001  (the two are one class in two parts)
            chunks = iter(self._response.iter_stream())
        seen = 0
        while True:
            with _spending(self._budget), self._transport._translating_errors(self._budget):  # noqa: SLF001
                chunk = next(chunks, None)
            if chunk is None:
                return
            seen += len(chunk)
            if self._silence is not None and b"\n" in chunk:
                self._budget.extend(self._silence)
                seen = len(chunk) - chunk.rindex(b"\n")
            if seen > (limit if self._silence is None else MAX_LINE):
                raise too_large(url, limit if self._silence is None else MAX_LINE)
            yield chunk

    def close(self) -> None:
        self._response.close()


def too_large(url: str, limit: int) -> OllamaError:
    """An answer beyond what any Ollama sends."""
    return OllamaError(
        Kind.TOO_LARGE,
        f"{url} sends more than {limit >> 20} MB where an Ollama sends little",
        hint="is it an Ollama at all?",
    )


def _protocol(url: str, budget: Budget, text: str) -> OllamaError:
    if "without sending a response" in text or "disconnected" in text:
        return OllamaError(
            Kind.CUT,
            f"{url} takes the connection and drops it without an answer",
            hint="is it the right port, and http or https?",
        )
    if budget.phase == "body":
        return OllamaError(Kind.CUT, f"{url} cut the connection in the middle of an answer")
    return OllamaError(
        Kind.NOT_OLLAMA,
        f"{url} does not speak HTTP as a server does ({plain(text.partition(': ')[0], 120)})",
        hint="is it the right port, and http or https?",
    )


def _has_host(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "host" for name in headers)


def _host(netloc: str) -> str:
    """``Host`` without the zone of a link-local address, which means nothing to the other side (RFC 6874)."""
    return re.sub(r"%[^\]]*\]", "]", netloc)


def _address(server: Server, relayed: bool) -> str | None:
    if relayed:
        return None if server.address == "host-gateway" else server.address
    if server.address == "host-gateway" or (not server.address and server.url.host == HOST_ALIAS):
        # `host-gateway` is the address of the host as containers see it: from here that is this machine.
        return "127.0.0.1"
    return server.address


def _context(server: Server) -> ssl.SSLContext:
    try:
        return _cached_context(server.verify, str(server.ca_file) if server.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise WrongInput(
            f'the CA file of the instance "{server.name}" cannot be used: {server.ca_file}: {error.strerror or error}',
            hint="it must hold one or more certificates in PEM form",
        ) from None


@lru_cache(maxsize=64)
def _cached_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
