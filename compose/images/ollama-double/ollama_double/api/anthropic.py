"""POST /v1/messages, in Anthropic's shape."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from ollama_double import gojson
from ollama_double.api.chat import Lines, start_chat, whole
from ollama_double.api.openai_common import event, sse
from ollama_double.gojson import Struct
from ollama_double.net.web import JSON, JSON_UTF8, ApiError, Request, Response, json_response
from ollama_double.runners.inference import SilentEndError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ollama_double.app import App

_REQUEST = Struct("MessagesRequest", {
    "model": "string", "max_tokens": "int", "messages": ["map"], "system": "any", "stream": "bool", "tools": ["map"],
    "temperature": "float64", "top_p": "float64", "top_k": "int", "stop_sequences": ["string"], "thinking": "map",
})  # fmt: skip
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
          429: "rate_limit_error", 503: "overloaded_error"}  # fmt: skip
_REASONS = {"stop": "end_turn", "length": "max_tokens"}


def _refused(error: ApiError, content_type: str) -> Response:
    kind = _TYPES.get(error.status, "api_error")
    value = {"type": "error", "error": {"type": kind, "message": error.message}}
    return json_response(value | {"request_id": f"req_{secrets.token_hex(12)}"}, error.status, content_type)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or [] if isinstance(part, dict))


def _to_native(given: dict[str, Any]) -> dict[str, Any]:
    if not given.get("model"):
        raise ApiError(400, "model is required")
    if given.get("max_tokens", 0) <= 0:
        raise ApiError(400, "max_tokens is required and must be positive")
    if not given.get("messages"):
        raise ApiError(400, "messages is required")
    messages = [{"role": "system", "content": _text(given["system"])}] if given.get("system") else []
    messages += [{"role": m.get("role", ""), "content": _text(m.get("content"))} for m in given["messages"]]
    options = {"num_predict": given["max_tokens"]}
    options |= {key: given[key] for key in ("temperature", "top_p", "top_k") if key in given}
    if given.get("stop_sequences"):
        options["stop"] = given["stop_sequences"]
    tools = [
        {"type": "function", "function": {"name": tool.get("name"), "description": tool.get("description", ""),
                                          "parameters": tool.get("input_schema") or {}}}
        for tool in given.get("tools") or []
    ]  # fmt: skip
    native = {"model": given["model"], "messages": messages, "options": options, "tools": tools}
    if (given.get("thinking") or {}).get("type") == "enabled":
        native["think"] = True
    return native


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if message.get("thinking"):
        found.append({"type": "thinking", "thinking": message["thinking"], "signature": ""})
    if message.get("content"):
        found.append({"type": "text", "text": message["content"]})
    for call in message.get("tool_calls") or []:
        function = call["function"]
        found.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": function["arguments"]})
    return found


class AnthropicApi:
    """The handler."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def messages(self, request: Request) -> Response:
        """POST /v1/messages."""
        try:
            given = gojson.decode(await request.body.read(), _REQUEST)
            native = _to_native(given)
        except ValueError as error:
            return _refused(ApiError(400, str(error)), JSON_UTF8)
        except ApiError as error:
            return _refused(error, JSON_UTF8)
        head = {"id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant", "model": given["model"]}
        try:
            start = await start_chat(self._app, native, "/v1/messages")
            if given.get("stream") and start.lines is not None:
                return await sse(_events(start.lines, head))
            line = (start.line if start.lines is None else await whole(start.lines)) or {}
        except ApiError as error:
            return _refused(error, JSON)
        message = line.get("message", {})
        value = head | {
            "content": _blocks(message),
            "stop_reason": _reason(line, called=bool(message.get("tool_calls"))),
        }
        used = {"input_tokens": line.get("prompt_eval_count", 0), "output_tokens": line.get("eval_count", 0)}
        return json_response(value | {"usage": used}, 200, JSON)


def _reason(line: dict[str, Any], *, called: bool) -> str:
    return "tool_use" if called else _REASONS.get(line.get("done_reason", ""), "end_turn")


async def _events(lines: Lines, head: dict[str, Any]) -> AsyncIterator[bytes]:
    block, index, begun, called = "", -1, False, False

    def say(kind: str, **fields: Any) -> bytes:
        return event({"type": kind, **fields}, kind)

    def opening(kind: str, fields: dict[str, Any]) -> bytes:
        nonlocal block, index
        ended = say("content_block_stop", index=index) if block else b""
        block, index = kind, index + 1
        return ended + say("content_block_start", index=index, content_block={"type": kind, **fields})

    try:
        async for line in lines:
            if not begun:
                begun = True
                empty: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
                yield say("message_start", message=head | empty | {"usage": {"input_tokens": 0, "output_tokens": 0}})
            message = line["message"]
            if message.get("thinking"):
                if block != "thinking":
                    yield opening("thinking", {"thinking": ""})
                yield say("content_block_delta", index=index,
                          delta={"type": "thinking_delta", "thinking": message["thinking"]})  # fmt: skip
            if message["content"]:
                if block != "text":
                    yield opening("text", {"text": ""})
                yield say("content_block_delta", index=index, delta={"type": "text_delta", "text": message["content"]})
            for call in message.get("tool_calls") or []:
                called, function = True, call["function"]
                yield opening("tool_use", {"id": call["id"], "name": function["name"], "input": {}})
                delta = {"type": "input_json_delta", "partial_json": json.dumps(function["arguments"])}
                yield say("content_block_delta", index=index, delta=delta)
            if line["done"]:
                if block:
                    yield say("content_block_stop", index=index)
                used = {"input_tokens": line.get("prompt_eval_count", 0), "output_tokens": line.get("eval_count", 0)}
                yield say("message_delta", delta={"stop_reason": _reason(line, called=called), "stop_sequence": None},
                          usage=used)  # fmt: skip
                yield say("message_stop")
    except ApiError as error:
        if not begun:
            raise
        yield say("error", error={"type": "api_error", "message": error.message})
    except SilentEndError:
        return
