"""HTTP with nothing added: the headers that are given, no redirects followed, the body as it came."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Answer:
    """Status, headers with lower-case names, and the whole body."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.data.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.data)

    @property
    def lines(self) -> list[Any]:
        """The body as NDJSON."""
        return [json.loads(line) for line in self.data.splitlines() if line.strip()]


def ask(
    url: str, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 30
) -> Answer:
    """Send one request on a connection of its own; a dict or list is sent as JSON, text and bytes as they are."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    given = dict(headers or {})
    data: bytes | None = None
    if isinstance(body, dict | list):
        data = json.dumps(body).encode()
        given.setdefault("Content-Type", "application/json")
    elif body is not None:
        data = body.encode() if isinstance(body, str) else body
    try:
        connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
        for key, value in given.items():
            connection.putheader(key, value)
        if data is not None or method in {"POST", "PUT", "PATCH", "DELETE"}:
            connection.putheader("Content-Length", str(len(data or b"")))
        connection.endheaders(data)
        answer = connection.getresponse()
        return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()
