"""What the OpenAI-shaped routes share: the error envelope, ids, and server-sent events."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from ollama_double import gojson
from ollama_double.net.web import (
    JSON,
    JSON_UTF8,
    SSE,
    ApiError,
    Request,
    Response,
    dumps,
    error_response,
    json_response,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FINGERPRINT = "fp_ollama"
_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


def envelope(error: ApiError) -> dict[str, Any]:
    """Return the error in OpenAI's shape."""
    kind = _TYPES.get(error.status, "api_error")
    return {"error": {"message": error.message, "type": kind, "param": None, "code": None}}


def refused(error: ApiError, *, early: bool = False) -> Response:
    """Answer a refusal; `early` ones come from before the native handler and say their charset."""
    if error.plain:
        return error_response(error)
    return json_response(envelope(error), error.status, JSON_UTF8 if early else JSON)


class EarlyError(Exception):
    """A refusal made before the native handler is asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.error = ApiError(400, message)


async def body(request: Request, shape: gojson.Struct) -> dict[str, Any]:
    """Decode the JSON body; EarlyError with Go's text."""
    try:
        return gojson.decode(await request.body.read(), shape)
    except ValueError as error:
        raise EarlyError(str(error)) from None


def number() -> int:
    """Return the number in an id."""
    return random.randint(0, 998)  # noqa: S311 - an id for reading, not a secret


def event(value: Any, name: str = "") -> bytes:
    """Write one server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + dumps(value) + b"\n\n"


async def sse(stream: AsyncIterator[bytes]) -> Response:
    """Answer events; a failure before the first one is raised."""
    first = await anext(stream, b"")
    return Response(200, content_type=SSE, stream=_joined(first, stream))


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def think_of(effort: Any) -> Any:
    """Turn `reasoning_effort` into the native `think`; EarlyError for an unknown one."""
    if effort is None:
        return None
    table: dict[Any, Any] = {
        "none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "max",
        "ultra": "max", "max": "max",
    }  # fmt: skip
    if effort not in table:
        raise EarlyError(f'invalid reasoning value: "{effort}" (must be "high", "medium", "low", "max", or "none")')
    return table[effort]
