"""Read the Engine API: over its unix socket, or through ``docker system dial-stdio`` for any other context.

One connection a thread serves all reads of a run; a `docker` process for each
would cost twenty times as much. Paths carry no version, so the engine answers
with its own (Engine API reference, "Versioning").
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from stackctl.adapters import process
from stackctl.adapters.enginesocket import socket_path

if TYPE_CHECKING:
    from stackctl.adapters.connection import Connection

TIMEOUT = 60.0


class ApiUnavailable(Exception):
    """The API cannot be reached this way."""


class EngineApi:
    """GET requests to one engine."""

    def __init__(self, argv: Sequence[str], context: str | None) -> None:
        self._argv, self._context = list(argv), context
        self._local = threading.local()
        self._open: list[process.Running] = []

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer, or None for 404. Raises :class:`ApiUnavailable` where there is none."""
        body = self._body(path, query)
        try:
            return None if body is None else json.loads(body)
        except ValueError as error:
            raise ApiUnavailable("the answer is no JSON") from error

    def lines(self, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The answer of a path that gives one JSON object after the other; raises the same."""
        try:
            return [json.loads(line) for line in (self._body(path, query) or b"").splitlines() if line.strip()]
        except ValueError as error:
            raise ApiUnavailable("the answer is no JSON") from error

    def _body(self, path: str, query: Mapping[str, Any] | None) -> bytes | None:
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in (query or {}).items()}
        target = f"{path}?{urlencode(texts)}" if texts else path
        from stackctl.adapters.connection import HTTPException  # noqa: PLC0415  (see there)

        for attempt in (1, 2):
            connection, fresh = self._connection()
            try:
                connection.request("GET", target, headers={"Host": "docker"})
                response = connection.getresponse()
                body = response.read()
            except (OSError, HTTPException) as error:
                self._drop()
                if fresh or attempt == 2:
                    raise ApiUnavailable(str(error)) from error
                continue
            if response.status == 404:
                return None
            if response.status != 200:
                raise ApiUnavailable(f"status {response.status}")
            return bytes(body)
        raise ApiUnavailable("no connection")

    def named(self, kind: str, name: str, suffix: str = "") -> dict[str, Any] | None:
        """``GET /KIND/NAME``; the name quoted."""
        found: dict[str, Any] | None = self.get(f"/{kind}/{quote(name, safe='')}{suffix}")
        return found

    def _connection(self) -> tuple[Connection, bool]:
        from stackctl.adapters.connection import Connection  # noqa: PLC0415  (see there)

        known: Connection | None = getattr(self._local, "connection", None)
        if known is not None and known.sock is not None:
            return known, False
        connection = Connection("docker", timeout=TIMEOUT)
        connection.sock = self._dial()
        connection.auto_open = 0
        self._local.connection = connection
        return connection, True

    def _dial(self) -> socket.socket:
        path = socket_path(self._context)
        try:
            if path is not None:
                ours = socket.socket(socket.AF_UNIX)
                ours.settimeout(TIMEOUT)
                ours.connect(path)
                return ours
            ours, theirs = socket.socketpair()
            with theirs:
                dialled = process.spawn(
                    [*self._argv, "system", "dial-stdio"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=process.DEVNULL,
                )
        except OSError as error:
            raise ApiUnavailable(str(error)) from error
        ours.settimeout(TIMEOUT)
        self._open.append(dialled)
        return ours

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
        self._local.connection = None


def by_label(labels: Mapping[str, str] | None) -> dict[str, list[str]]:
    """The ``filters`` that list what carries these labels."""
    return {"label": [f"{k}={v}" for k, v in labels.items()]} if labels else {}
