"""Read the engine: a client of the Docker Engine API, and the only way that this program asks an engine anything.

Paths carry the version of the API: the engine's own, as it names it itself, or the newest that this program knows where
the engine's is newer (Engine API reference, "Versioning"). Threads may share a client.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from stackctl.adapters.enginesocket import socket_path
from stackctl.errors import EngineUnusable

if TYPE_CHECKING:
    import httpx

NEWEST = (1, 51)
"""Engine 28.3. ``DiscoveredDevices`` of ``/info`` needs 1.50; everything else that is asked for needs 1.41."""
FIRST_WITHIN = 6.0
"""Seconds that an engine may take to answer ``/_ping``: the user learns within ten that an engine hangs."""
ANSWER_WITHIN = 8.0
"""Seconds for a whole answer: the user learns within ten that an engine hangs after ``/_ping``, too."""
INSPECTED_WITHIN = 15.0
"""Seconds for inspecting a container, which the engine delays while that container starts."""
MOST_BYTES = 64 << 20

Filters = Mapping[str, list[str]]


class ApiUnavailable(Exception):
    """The engine's API cannot be used: nothing answers, or the answer is not one of this API."""


class ApiRefused(ApiUnavailable):
    """The engine answered with an error status."""


class EngineApi:
    """GET requests to one engine.

    Each method raises :class:`ApiUnavailable`, and :class:`EngineUnusable` where the engine does not answer in
    time or its answer is too long. The result is None for an object that does not exist.
    """

    def __init__(self, argv: Sequence[str], context: str | None) -> None:
        self._argv, self._context = list(argv), context
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._prefix = ""
        self._unusable: EngineUnusable | None = None

    def connect(self) -> None:
        """Open the connection and negotiate the API version now, instead of at the first request."""
        self._connected()

    def info(self) -> dict[str, Any]:
        """``/info``."""
        return dict(self._json("/info") or {})

    def containers(self, filters: Filters) -> list[dict[str, Any]]:
        """All containers, running or not, in short."""
        return list(self._json("/containers/json", all="1", filters=filters) or [])

    def container(self, name: str) -> dict[str, Any] | None:
        """One container, inspected."""
        path = f"/containers/{quote(name, safe='')}/json"
        body = self._get(self._connected(), self._prefix + path, INSPECTED_WITHIN)
        return None if body is None else dict(_decoded(body))

    def stats(self, container: str) -> dict[str, Any] | None:
        """Figures of one moment."""
        path = f"/containers/{quote(container, safe='')}/stats"
        return self._found(path, **{"stream": "false", "one-shot": "true"})

    def logs(self, container: str, tail: int) -> bytes | None:
        """The last lines of both streams in order; in frames where it has no terminal."""
        path = f"/containers/{quote(container, safe='')}/logs"
        return self._body(path, stdout="1", stderr="1", tail=str(tail))

    def events(self, since: float, until: float, filters: Filters) -> list[dict[str, Any]]:
        """Events between two times of the engine's clock; with ``until`` in the future the engine would wait for it."""
        body = self._body("/events", since=f"{since:.3f}", until=f"{until:.3f}", filters=filters) or b""
        return [_decoded(line) for line in body.splitlines() if line.strip()]

    def network(self, name: str) -> dict[str, Any] | None:
        """One network, inspected."""
        return self._found(f"/networks/{quote(name, safe='')}")

    def networks(self, filters: Filters) -> list[dict[str, Any]]:
        """Networks, in short: only :meth:`network` lists the containers on one."""
        return list(self._json("/networks", filters=filters) or [])

    def volume(self, name: str) -> dict[str, Any] | None:
        """One volume."""
        return self._found(f"/volumes/{quote(name, safe='')}")

    def volumes(self, filters: Filters) -> list[dict[str, Any]]:
        """Volumes."""
        return list((self._json("/volumes", filters=filters) or {}).get("Volumes") or [])

    def image(self, reference: str) -> dict[str, Any] | None:
        """One image, inspected."""
        return self._found(f"/images/{quote(reference, safe='')}/json")

    def images(self, filters: Filters) -> list[dict[str, Any]]:
        """Images, in short."""
        return list(self._json("/images/json", filters=filters) or [])

    def _found(self, path: str, **query: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._json(path, **query)
        return found

    def _json(self, path: str, **query: str | Filters) -> Any:
        body = self._body(path, **query)
        return None if body is None else _decoded(body)

    def _body(self, path: str, **query: str | Filters) -> bytes | None:
        client = self._connected()
        texts = {
            k: v if isinstance(v, str) else json.dumps({n: list(f) for n, f in v.items()}) for k, v in query.items()
        }
        return self._get(client, self._prefix + path + (f"?{urlencode(texts)}" if texts else ""), ANSWER_WITHIN)

    def _connected(self) -> httpx.Client:
        """The client, once the engine has said which version of its API it speaks."""
        with self._lock:
            if self._client is None:
                import httpx  # noqa: PLC0415  (0.1 s that `--help`, `init` and `render` do without)

                from stackctl.adapters.enginelink import EngineTransport  # noqa: PLC0415

                transport = EngineTransport(socket_path(self._context), self._argv)
                client = httpx.Client(transport=transport, base_url="http://docker", trust_env=False)
                self._get(client, "/_ping", FIRST_WITHIN)
                self._client = client
            return self._client

    def _get(self, client: httpx.Client, target: str, within: float) -> bytes | None:
        import httpx  # noqa: PLC0415  (see `_connected`)

        if self._unusable is not None:
            raise self._unusable
        try:
            with client.stream("GET", target, timeout=within) as answer:
                body = bytearray()
                for piece in answer.iter_raw():
                    body += piece
                    if len(body) > MOST_BYTES:
                        raise self._given_up(f"sent more than {MOST_BYTES >> 20} MiB for one answer")
        except httpx.TimeoutException:
            raise self._given_up(f"gave no whole answer within {within:.0f} s") from None
        except httpx.TransportError as error:
            raise ApiUnavailable(str(error)) from error
        if target == "/_ping":
            self._prefix = _prefix(answer.headers.get("Api-Version", ""))
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise ApiRefused(f"status {answer.status_code}: {_message(bytes(body))}")
        return bytes(body)

    def _given_up(self, what: str) -> EngineUnusable:
        """The error, which every later request raises at once: each would wait as long again."""
        where = socket_path(self._context) or f"`{' '.join(self._argv)} system dial-stdio`"
        self._unusable = EngineUnusable(f"the Docker engine at {where} {what}", hint="sudo systemctl restart docker")
        return self._unusable


def _prefix(said: str) -> str:
    """``/v1.51``; empty, which is the engine's own choice, where it does not say a version."""
    numbers = said.split(".")
    if len(numbers) != 2 or not all(n.isdigit() for n in numbers):
        return ""
    major, minor = min((int(numbers[0]), int(numbers[1])), NEWEST)
    return f"/v{major}.{minor}"


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ApiUnavailable("the answer is no JSON") from error


def _message(body: bytes) -> str:
    text = body[:2000].decode("utf-8", "replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(text.split())[:200]


def by_label(labels: Mapping[str, str] | None) -> dict[str, list[str]]:
    """The ``filters`` that list what carries these labels."""
    return {"label": [f"{k}={v}" for k, v in labels.items()]} if labels else {}


def plain(log: bytes) -> bytes:
    """A log without its frames: a byte for the stream, three of zero, four of length (``ContainerAttach``)."""
    text, at = bytearray(), 0
    while at + 8 <= len(log):
        if log[at] > 2 or log[at + 1 : at + 4] != b"\0\0\0":
            return log  # of a container with a terminal, which has no frames
        size = int.from_bytes(log[at + 4 : at + 8], "big")
        text += log[at + 8 : at + 8 + size]
        at += 8 + size
    return bytes(text)
