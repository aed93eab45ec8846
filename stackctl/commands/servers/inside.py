"""Ask Ollama servers from inside a service's network, for ``instances test --from``.

The prober carries all questions out in one process there and brings the raw
answers back; the client then reads them as if they had come over its own
connection, so that a server is judged by the same code wherever it is asked from.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import httpcore

from stackctl.commands.context.prober import Prober
from stackctl.diagnose.answers import AimAnswers, Answered
from stackctl.diagnose.plan import CONNECT_TIMEOUT, RESOLVE_TIMEOUT, Aim, Ask, ProbePlan
from stackctl.diagnose.standpoint import Standpoint
from stackctl.errors import ExpectedFailure, StackctlError
from stackctl.ollama.client import OllamaClient
from stackctl.ollama.health import Health, check
from stackctl.ollama.server import Server
from stackctl.ports import Container

BATCH = 10
"""Servers that one process asks: what it prints must fit into the 4 MiB that we keep of a process's output."""
LISTING_LIMIT = 220_000
SMALL_LIMIT = 16_384


def ask_from(prober: Prober, consumer: Container, servers: Sequence[Server]) -> list[Health]:
    """The health of each server, seen from the network of a running container; all are asked at once.

    Raises ``ExpectedFailure`` where no program there can ask: then nothing is known about the servers.
    """
    enabled = [server for server in servers if server.enabled]
    batches = [enabled[at : at + BATCH] for at in range(0, len(enabled), BATCH)]
    image = str(consumer.raw.get("Image") or "")
    # A shell asks one server after the other. A container of our own beside it has Python, which asks all at once.
    stand = Standpoint(consumer.service, consumer.id, image=image, fresh=len(enabled) > 1)
    plans = [_plan(batch) for batch in batches]
    views = prober.probe([(stand, plan) for plan in plans])
    if stand.fresh and not all(view.able for view in views):
        views = prober.probe([(replace(stand, fresh=False), plan) for plan in plans])
    if unable := next((view for view in views if not view.able), None):
        raise ExpectedFailure(f"nothing can ask from inside {consumer.service}: {'; '.join(unable.limits)}")
    seen = {name: found for view in views for name, found in view.aims.items()}
    return [_health(server, seen.get(server.name, AimAnswers())) for server in servers]


def _plan(servers: Sequence[Server]) -> ProbePlan:
    longest = max(server.timeout for server in servers)
    return ProbePlan(
        tuple(_aim(server) for server in servers),
        connect_timeout=min(CONNECT_TIMEOUT, longest),
        resolve_timeout=min(RESOLVE_TIMEOUT, longest),
        budget=longest + CONNECT_TIMEOUT + RESOLVE_TIMEOUT,
    )


def _aim(server: Server) -> Aim:
    paths = ["/"] if "/" in server.endpoints else []
    paths += ["/api/version", "/api/tags", "/api/ps"]
    try:
        headers = {"Accept-Encoding": "identity", **server.headers()}
        trust = server.ca_file.read_text(encoding="utf-8") if server.ca_file else ""
    except (
        StackctlError,
        OSError,
        UnicodeDecodeError,
    ):  # the client meets the same error before it connects, and reports it
        return Aim(server.name, server.url)
    host = next((headers.pop(name) for name in list(headers) if name.lower() == "host"), "")
    asks = tuple(
        Ask(
            server.path(path),
            "GET",
            server.path(path),
            headers,
            host=host,
            timeout=server.timeout,
            limit=LISTING_LIMIT if path == "/api/tags" else SMALL_LIMIT,
        )
        for path in paths
    )
    return Aim(
        server.name,
        server.url,
        asks,
        addresses=(server.address,) if server.address else (),
        verify=server.verify,
        trust=trust,
        server_name=server.server_name or "",
    )


def _health(server: Server, seen: AimAnswers) -> Health:
    health = check(server, lambda asked: OllamaClient(asked, backend=_Recorded(seen)))
    first = seen.ask(server.path("/" if "/" in server.endpoints else "/api/version"))
    return replace(health, latency=first.ms / 1000) if first and health.latency is not None else health


class _Recorded(httpcore.NetworkBackend):
    """Connections that succeed or fail as the probe's did."""

    def __init__(self, seen: AimAnswers) -> None:
        self._seen = seen

    def connect_tcp(
        self,
        host: str,
        port: int,  # noqa: ARG002  (the probe has connected already)
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        resolved, tried = self._seen.resolved, self._seen.connected
        if any(connected.ok for connected in tried):
            return _RecordedStream(self._seen)
        if tried:
            raise _error_of(tried[0].error, httpcore.ConnectError, httpcore.ConnectTimeout)
        if resolved is not None and resolved.error:
            raise httpcore.ConnectError(f"name resolution of {host} failed: {resolved.error}")
        raise httpcore.ConnectTimeout("the probe ran out of time")


class _RecordedStream(httpcore.NetworkStream):
    """One connection of the client: what it reads is the probe's answer to the path that it asks for."""

    def __init__(self, seen: AimAnswers) -> None:
        self._seen = seen
        self._request = b""
        self._answer: Answered | None = None
        self._at = 0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        if self._answer is not None:
            self._request, self._answer, self._at = b"", None, 0
        self._request += buffer

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        if self._answer is None:
            path = self._request.split(b" ", 2)[1].decode("ascii")
            self._answer = self._seen.ask(path)
        if self._answer is None:
            raise httpcore.ReadTimeout("the probe ran out of time")
        piece = self._answer.raw[self._at : self._at + max_bytes]
        self._at += len(piece)
        if not piece and self._answer.end not in ("complete", "eof", "EMPTY", "limit"):
            raise _error_of(self._answer.end, httpcore.ReadError, httpcore.ReadTimeout)
        return piece

    def close(self) -> None:
        """There is nothing to close."""

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002  (the probe did the handshake, with the same settings)
        server_hostname: str | None = None,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        shaken = next(iter(self._seen.shaken), None)
        if shaken is None:
            raise httpcore.ConnectTimeout("the probe ran out of time")
        if shaken.ok:
            return self
        if shaken.error == "TIMEOUT" or hasattr(errno, shaken.error):
            raise _error_of(shaken.error, httpcore.ConnectError, httpcore.ConnectTimeout)
        raise httpcore.ConnectError(f"[SSL: {shaken.error}] {shaken.text}")

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002
        return None


def _error_of(name: str, failure: Callable[[str], Exception], late: Callable[[str], Exception]) -> Exception:
    """The exception for an error as the probe names it: ``TIMEOUT``, or a name of ``errno``."""
    if name == "TIMEOUT":
        return late("no answer in time")
    number = getattr(errno, name, 0)
    return failure(os.strerror(number) if isinstance(number, int) and number else name)
