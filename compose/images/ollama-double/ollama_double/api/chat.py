"""POST /api/generate and /api/chat."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_double import godata
from ollama_double.gojson import Struct
from ollama_double.net.web import (
    JSON,
    JSON_UTF8,
    NDJSON,
    ApiError,
    Request,
    Response,
    dumps,
    error_response,
    json_response,
)
from ollama_double.runners import inference, talk
from ollama_double.settings import FOREVER

if TYPE_CHECKING:
    from ollama_double.app import App
    from ollama_double.store.disk import Model

_COMMON = {
    "model": "string", "stream": "bool", "format": "any", "keep_alive": "any", "options": "map", "think": "any",
    "truncate": "bool", "shift": "bool", "logprobs": "bool", "top_logprobs": "int",
}  # fmt: skip
GENERATE = Struct("GenerateRequest", _COMMON | {
    "prompt": "string", "suffix": "string", "system": "string", "template": "string", "context": ["int"],
    "raw": "bool", "images": ["string"],
})  # fmt: skip
_CALL = Struct("ToolCall", {"id": "string", "function": "map"})
_MESSAGE = Struct("Message", {
    "role": "string", "content": "string", "thinking": "string", "images": ["string"], "tool_calls": [_CALL],
    "tool_name": "string", "tool_call_id": "string",
})  # fmt: skip
CHAT = Struct("ChatRequest", _COMMON | {"messages": [_MESSAGE], "tools": ["map"]})

Lines = AsyncIterator[dict[str, Any]]
_THINK = (True, False, "low", "medium", "high", "max")


@dataclass(frozen=True)
class Start:
    """What a call begins with: one whole line, or lines to come."""

    line: dict[str, Any] | None = None
    lines: Lines | None = None


def keep_alive(value: Any) -> int | None:
    """Read `keep_alive` into nanoseconds, FOREVER or None; 400 for what the real server refuses."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        kind = {"bool": "bool", "list": "[]interface {}", "dict": "map[string]interface {}"}[type(value).__name__]
        raise ApiError(400, f"Unsupported type: '{kind}'")
    if isinstance(value, str):
        try:
            duration = godata.parse_duration(value)
        except ValueError as error:
            raise ApiError(400, str(error)) from None
    else:
        duration = int(max(-1.0, min(float(value), FOREVER / godata.SECOND)) * godata.SECOND)
    return FOREVER if duration < 0 else min(duration, FOREVER)


def check_common(body: dict[str, Any]) -> int | None:
    """Check what is checked before the model is looked up; return the keep_alive."""
    kept = keep_alive(body.get("keep_alive"))
    think = body.get("think")
    if think is not None and think not in _THINK:
        text = think if isinstance(think, str) else json.dumps(think)
        raise ApiError(400, f'invalid think value: "{text}" (must be "high", "medium", "low", "max", true, or false)')
    if not 0 <= body.get("top_logprobs", 0) <= 20:
        raise ApiError(400, "top_logprobs must be between 0 and 20")
    return kept


def need(model: Model, sent: str, capability: str, word: str = "") -> None:
    """Refuse a call that the model cannot do, in the wording of that capability."""
    if capability not in model.capabilities:
        named = f'"{sent}"' if word else model.name.full
        raise ApiError(400, f"{named} does not support {word or capability}")


def _thinks(model: Model, sent: str, asked: Any) -> bool:
    if asked:
        need(model, sent, "thinking", "thinking")
    # A model that can think does so unless it is told not to.
    return bool(asked) if asked is not None else "thinking" in model.capabilities


async def start_generate(app: App, body: dict[str, Any]) -> Start:
    """Check and begin a generate call."""
    started = time.time_ns()
    kept = check_common(body)
    sent = body.get("model", "")
    if not sent:
        raise ApiError(404, "model '' not found")
    model = app.find(sent, f"model '{sent}' not found", call="/api/generate")
    app.check_remote(model, "/api/generate")
    prompt = body.get("prompt", "")
    if not prompt and kept == 0:
        app.scheduler.unload(model)
        return Start(_line(sent, {"response": ""}, done=True, done_reason="unload"))
    if body.get("raw") and (body.get("template") or body.get("system") or body.get("context")):
        raise ApiError(400, "raw mode does not support template, system, or context")
    need(model, sent, "completion", "generate")
    if body.get("suffix"):
        need(model, sent, "insert")
    think = _thinks(model, sent, body.get("think"))
    options = merged(model, body.get("options") or {})
    runner = await app.scheduler.acquire(model, options | {"shift": body.get("shift")}, kept)
    if not prompt:
        app.scheduler.release(runner)
        return Start(_line(sent, {"response": ""}, done=True, done_reason="load"))
    ask = talk.Ask(app.name, sent, prompt, body.get("system", "") + " " + prompt, options,
                   form=body.get("format"), think=think)  # fmt: skip
    made = inference.pieces(app, runner, ask, started=started, truncate=body.get("shift") is not False)
    return Start(lines=_generate_lines(sent, made, raw=bool(body.get("raw")), prompt=prompt))


async def start_chat(app: App, body: dict[str, Any], call: str = "/api/chat") -> Start:
    """Check and begin a chat call."""
    started = time.time_ns()
    kept = check_common(body)
    sent = body.get("model", "")
    if not sent:
        raise ApiError(400, "model is required")
    model = app.find(sent, f"model '{sent}' not found", call=call)
    messages = body.get("messages") or []
    if not messages and kept == 0:
        app.scheduler.unload(model)
        return Start(_line(sent, {"message": {"role": "assistant", "content": ""}}, done=True, done_reason="unload"))
    app.check_remote(model, call)
    need(model, sent, "completion", "chat")
    tools = body.get("tools") or []
    if tools:
        need(model, sent, "tools")
    think = _thinks(model, sent, body.get("think"))
    options = merged(model, body.get("options") or {})
    runner = await app.scheduler.acquire(model, options | {"shift": body.get("shift")}, kept)
    if not messages:
        app.scheduler.release(runner)
        return Start(_line(sent, {"message": {"role": "assistant", "content": ""}}, done=True, done_reason="load"))
    history = " ".join(message.get("content", "") for message in messages)
    prompt = next((m.get("content", "") for m in reversed(messages) if m.get("role") in {"user", "tool"}), "")
    ask = talk.Ask(app.name, sent, prompt, history, options, tools, body.get("format"), think,
                   messages[-1].get("role", "user"))  # fmt: skip
    made = inference.pieces(app, runner, ask, started=started, truncate=body.get("shift") is not False)
    return Start(lines=_chat_lines(sent, made))


def merged(model: Model, options: dict[str, Any]) -> dict[str, Any]:
    """Return the model's own parameters with the call's on top; 500 for a wrong type."""
    inference.check_options(options)
    return model.parameters | {key: value for key, value in options.items() if value is not None}


def _line(model: str, part: dict[str, Any], *, done: bool, **rest: Any) -> dict[str, Any]:
    return {"model": model, "created_at": godata.timestamp(time.time_ns()), **part, "done": done, **rest}


async def _generate_lines(sent: str, made: AsyncIterator[inference.Piece], *, raw: bool, prompt: str) -> Lines:
    async for piece in made:
        part: dict[str, Any] = {"response": piece.content}
        if piece.thinking:
            part["thinking"] = piece.thinking
        if not piece.done:
            yield _line(sent, part, done=False)
            continue
        context = {} if raw else {"context": [1000 + len(word) for word in re.findall(r"\S+", prompt)] or [1000]}
        yield _line(sent, part, done=True, done_reason=piece.reason, **context, **piece.figures)


async def _chat_lines(sent: str, made: AsyncIterator[inference.Piece]) -> Lines:
    async for piece in made:
        message: dict[str, Any] = {"role": "assistant", "content": piece.content}
        if piece.thinking:
            message["thinking"] = piece.thinking
        if piece.tool_calls:
            message["tool_calls"] = piece.tool_calls
        rest = {"done_reason": piece.reason, **piece.figures} if piece.done else {}
        yield _line(sent, {"message": message}, done=piece.done, **rest)


async def ndjson(lines: Lines) -> Response:
    """Answer lines as NDJSON; a failure before the first one is an answer of its own."""
    try:
        first = await anext(lines)
    except ApiError as error:
        return error_response(error, JSON)
    except (StopAsyncIteration, inference.SilentEndError):
        return Response(200, b"", NDJSON)
    return Response(200, content_type=NDJSON, stream=_ndjson(first, lines))


async def _ndjson(first: dict[str, Any], lines: Lines) -> AsyncIterator[bytes]:
    yield dumps(first) + b"\n"
    try:
        async for line in lines:
            yield dumps(line) + b"\n"
    except ApiError as error:
        yield dumps({"error": error.message}) + b"\n"
    except inference.SilentEndError:
        return


async def whole(lines: Lines) -> dict[str, Any]:
    """Gather lines into the one object of a call without streaming."""
    gathered: dict[str, Any] = {}
    try:
        async for line in lines:
            gathered = _join(gathered, line)
    except inference.SilentEndError:
        pass
    return gathered


def _join(before: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    after = dict(line)
    for key in ("response", "thinking"):
        if key in before or key in line:
            after[key] = before.get(key, "") + line.get(key, "")
    if "message" in line:
        old, new = before.get("message", {}), dict(line["message"])
        for key in ("content", "thinking"):
            if key in old or key in new:
                new[key] = old.get(key, "") + new.get(key, "")
        calls = old.get("tool_calls", []) + new.get("tool_calls", [])
        if calls:
            new["tool_calls"] = calls
        after["message"] = new
    return after


async def _render(start: Start, *, stream: bool) -> Response:
    if start.lines is None:
        return json_response(start.line)
    if stream:
        return await ndjson(start.lines)
    return json_response(await whole(start.lines), 200, JSON_UTF8)


class ChatApi:
    """The two handlers."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def generate(self, request: Request) -> Response:
        """POST /api/generate."""
        body = await self._app.body(request, GENERATE)
        return await _render(await start_generate(self._app, body), stream=body.get("stream", True))

    async def chat(self, request: Request) -> Response:
        """POST /api/chat."""
        body = await self._app.body(request, CHAT)
        return await _render(await start_chat(self._app, body), stream=body.get("stream", True))
