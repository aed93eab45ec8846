"""The health of instances, asked of one or of many at once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.errors import StackctlError
from stackctl.ollama.client import OllamaClient
from stackctl.ollama.errors import OllamaError, State
from stackctl.ollama.listing import Loaded, Model
from stackctl.ollama.server import Server
from stackctl.ollama.text import rfc3339
from stackctl.ollama.unreached import timeout

Connect = Callable[[Server], OllamaClient]


@dataclass(frozen=True)
class Health:
    """The state of one instance. ``latency`` in seconds, of the first answer; ``checked`` an RFC 3339 time."""

    name: str
    url: str
    state: State
    checked: str
    latency: float | None = None
    version: str | None = None
    models: tuple[Model, ...] = ()
    loaded: tuple[Loaded, ...] = ()
    cause: str = ""
    message: str = ""
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether it can be used."""
        return self.state is State.HEALTHY

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "url": self.url,
            "state": str(self.state),
            "latency_ms": None if self.latency is None else round(self.latency * 1000, 1),
            "version": self.version,
            "models": [model.name for model in self.models],
            "loaded": [{"name": item.name, "processor": item.processor} for item in self.loaded],
            "checked": self.checked,
            "cause": self.cause or None,
            "message": self.message or None,
            "hint": self.hint or None,
        }


def check(server: Server, connect: Connect) -> Health:
    """Ask one server for its version (or its own health path), its models, what it has loaded.

    All of it within ``server.timeout``. Errors of the server become part of the result.
    """
    url = str(server.url)
    if not server.enabled:
        return Health(server.name, url, State.DISABLED, rfc3339(time.time()))
    latency: float | None = None
    version: str | None = None
    begun = time.monotonic()
    try:
        with connect(server) as client:
            client.transport.deadline = begun + server.timeout
            if "/" in server.endpoints:
                client.healthy()
                latency = time.monotonic() - begun
            version = client.version()
            latency = latency or time.monotonic() - begun
            models = client.tags()
            loaded = client.ps() if "/api/tags" not in server.endpoints else _ps(client)
    except StackctlError as error:
        return _failed(server, error, latency, version)
    return Health(server.name, url, State.HEALTHY, rfc3339(time.time()), latency, version, tuple(models), tuple(loaded))


def _failed(server: Server, error: StackctlError, latency: float | None = None, version: str | None = None) -> Health:
    """The state of an instance that could not be asked, or whose answer was an error."""
    state, cause = (
        (error.state, str(error.kind)) if isinstance(error, OllamaError) else (State.MISCONFIGURED, "configuration")
    )
    url = str(server.url)
    return Health(
        server.name,
        url,
        state,
        rfc3339(time.time()),
        latency,
        version,
        cause=cause,
        message=error.message,
        hint=error.hint,
    )


def _ps(client: OllamaClient) -> list[Loaded]:
    """The loaded models; none where a proxy with paths of its own does not pass that question on."""
    try:
        return client.ps()
    except OllamaError:
        return []


def check_all(servers: Sequence[Server], connect: Connect) -> Iterator[Health]:
    """Check every server at once; yields each as soon as it is known, all within the longest single timeout."""
    results: queue.SimpleQueue[Health | BaseException] = queue.SimpleQueue()
    waiting = {server.name: server for server in servers}
    begun = time.monotonic()

    def one(server: Server) -> None:
        try:
            results.put(check(server, connect))
        except BaseException as error:  # noqa: BLE001  (handed to the caller's thread)
            results.put(error)

    # Daemon threads: the program can end although a resolver hangs in C code.
    for server in servers:
        threading.Thread(target=one, args=(server,), daemon=True, name=f"check {server.name}").start()
    while waiting:
        end = begun + max(server.timeout for server in waiting.values()) + 0.3
        try:
            result = results.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(result, BaseException):
            raise result
        del waiting[result.name]
        yield result
    for server in waiting.values():
        yield _failed(server, timeout(str(server.url), "connect"))
