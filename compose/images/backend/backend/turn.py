"""One turn of a conversation over HTTP: the request as it came in, the answer as lines of JSON."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.link import Link, LinkError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

MAX_BODY = 1 << 20
"""Bytes of a request that are read; a conversation that is longer belongs elsewhere."""

_ROLES = ("system", "user", "assistant")


class BadRequest(Exception):
    """A request that says nothing to pass on; its text tells the caller why."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What is asked: the conversation so far, and the model where the caller names one."""

    messages: list[dict[str, str]]
    model: str | None = None

    @classmethod
    def parse(cls, body: bytes) -> Turn:
        """From ``{"messages": [{"role", "content"}…], "model"?}`` or ``{"prompt": str, "model"?}``.

        Raises:
            BadRequest: anything else.
        """
        try:
            given: Any = json.loads(body)
        except (ValueError, RecursionError):
            raise BadRequest("the body is not JSON") from None
        if not isinstance(given, dict):
            raise BadRequest("the body is not a JSON object")
        model = given.get("model")
        if model is not None and (not isinstance(model, str) or not model.strip()):
            raise BadRequest("model: expected the name of a model")
        if "messages" not in given:
            prompt = given.get("prompt")
            if not isinstance(prompt, str) or not prompt.strip():
                raise BadRequest("expected messages, a list, or prompt, a text")
            return cls(messages=[{"role": "user", "content": prompt}], model=model)
        return cls(messages=_messages(given["messages"]), model=model)


def _messages(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise BadRequest("messages: expected a list with at least one message")
    for number, message in enumerate(given):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise BadRequest(f"messages[{number}]: expected a role, one of {', '.join(_ROLES)}")
        if not isinstance(message.get("content"), str):
            raise BadRequest(f"messages[{number}]: expected content, a text")
    return [{"role": message["role"], "content": message["content"]} for message in given]


async def lines(link: Link, turn: Turn) -> AsyncGenerator[bytes]:
    """Answer as NDJSON: one ``start``, then ``token`` or ``thinking``, and at the end ``end`` or ``error``.

    Raises:
        LinkError: before the first line only; a failure after it is the ``error`` line, for the status is sent by then.
    """
    model = turn.model or link.settings.model
    begun = time.perf_counter()
    started = False
    try:
        async for part in link.chat(model, turn.messages):
            if not started:
                started = True
                yield _line(type="start", model=part.model or model, ollama=link.settings.ollama_url)
            if part.message.thinking:
                yield _line(type="thinking", text=part.message.thinking)
            if part.message.content:
                yield _line(type="token", text=part.message.content)
            if part.done:
                yield _line(
                    type="end",
                    reason=part.done_reason,
                    tokens=part.eval_count,
                    seconds=round(time.perf_counter() - begun, 3),
                )
    except LinkError as error:
        if not started:
            raise
        yield _line(type="error", message=error.message, hint=error.hint)


def _line(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
