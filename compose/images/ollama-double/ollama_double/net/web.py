"""What a handler sees and gives back: requests, responses and the table of routes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

JSON_UTF8 = "application/json; charset=utf-8"
JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"

Headers = list[tuple[str, str]]


class Body(Protocol):
    """The request's body as it arrives."""

    async def read(self) -> bytes:
        """Return the whole body."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece."""


@dataclass
class Request:
    """One request; `path` is decoded, `target` as it stood on the wire."""

    method: str
    target: str
    headers: Headers
    body: Body
    client: str
    path: str = ""
    query: str = ""
    params: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path:
            raw, _, self.query = self.target.partition("?")
            if not raw.startswith("/"):
                raw = "/" + raw.split("://", 1)[-1].partition("/")[2]
            self.path = unquote(raw)

    def header(self, name: str) -> str | None:
        """Return the first header of that name, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


@dataclass
class Response:
    """A whole answer, or one that streams from `stream`."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: Headers = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None


class ApiError(Exception):
    """A refusal with its status and the text of `error`."""

    plain = False  # the OpenAI routes leave a cloud refusal in the native shape

    def __init__(self, status: int, message: str, content_type: str = "", **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.content_type = content_type
        self.extra = extra


class CutError(Exception):
    """Ends a stream by closing the connection, with no last chunk."""


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ESCAPED = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def dumps(value: Any) -> bytes:
    """Write JSON compactly, `<`, `>` and `&` escaped as Go does."""
    return _encode(value).translate(_ESCAPED).encode("utf-8", "replace")


def json_response(value: Any, status: int = 200, content_type: str = JSON_UTF8) -> Response:
    """Answer one JSON value."""
    return Response(status, dumps(value), content_type)


def error_response(error: ApiError, content_type: str = JSON_UTF8) -> Response:
    """Answer a refusal in the native shape."""
    return json_response({"error": error.message, **error.extra}, error.status, error.content_type or content_type)


def text_response(status: int, text: str, content_type: str = "text/plain") -> Response:
    """Answer plain text."""
    return Response(status, text.encode(), content_type)


Handler = Callable[[Request], Awaitable[Response]]


class Routes:
    """The table of routes: exact paths, and paths whose last part is a parameter."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._param: dict[str, tuple[str, dict[str, Handler]]] = {}
        self._order: list[str] = []

    def add(self, methods: str, path: str, handler: Handler) -> None:
        """Route each of the space-separated `methods` on `path` to `handler`."""
        head, _, last = path.rpartition("/")
        if last.startswith(":"):
            table = self._param.setdefault(head, (last[1:], {}))[1]
        else:
            table = self._exact.setdefault(path, {})
        for method in methods.split():
            table[method] = handler
            if method not in self._order:
                self._order.append(method)

    def remove(self, path: str) -> None:
        """Forget a path: an older server does not have it."""
        self._exact.pop(path, None)

    def _table(self, path: str) -> tuple[dict[str, Handler], dict[str, str]]:
        if path in self._exact:
            return self._exact[path], {}
        head, _, last = path.rpartition("/")
        if last and head in self._param:
            name, table = self._param[head]
            return table, {name: last}
        return {}, {}

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]] | None:
        """Return the handler and the path's parameters, or None."""
        table, params = self._table(path)
        return (table[method], params) if method in table else None

    def allowed(self, path: str) -> Iterable[str]:
        """Return the methods that `path` has, in the order in which methods were first routed."""
        table, _ = self._table(path)
        return [method for method in self._order if method in table]
