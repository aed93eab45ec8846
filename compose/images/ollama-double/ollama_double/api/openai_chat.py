"""POST /v1/chat/completions: translated to a native chat call and back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ollama_double.api.chat import Lines, start_chat, whole
from ollama_double.api.openai_common import FINGERPRINT, EarlyError, body, event, number, refused, sse, think_of
from ollama_double.gojson import Struct
from ollama_double.net.web import JSON, ApiError, Request, Response, json_response
from ollama_double.runners.inference import SilentEndError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ollama_double.app import App

_CHAT = Struct("ChatCompletionRequest", {
    "model": "string", "messages": ["map"], "stream": "bool", "stream_options": "map", "max_tokens": "int",
    "max_completion_tokens": "int", "seed": "int", "stop": "any", "temperature": "float64", "top_p": "float64",
    "frequency_penalty": "float64", "presence_penalty": "float64", "response_format": "map", "tools": ["map"],
    "tool_choice": "any", "reasoning": "map", "reasoning_effort": "string", "logprobs": "bool", "top_logprobs": "int",
})  # fmt: skip


def to_native(given: dict[str, Any]) -> dict[str, Any]:
    """Return the native chat request; EarlyError for what the translation refuses."""
    if not given.get("messages"):
        raise EarlyError("[] is too short - 'messages'")
    native: dict[str, Any] = {
        "model": given.get("model", ""),
        "options": options(given),
        "tools": given.get("tools") or [],
    }
    native["messages"] = [part for message in given["messages"] for part in _message(message)]
    form = given.get("response_format") or {}
    if form.get("type") == "json_object":
        native["format"] = "json"
    elif form.get("type") == "json_schema":
        native["format"] = (form.get("json_schema") or {}).get("schema") or {}
    effort = given.get("reasoning_effort") or (given.get("reasoning") or {}).get("effort")
    think = think_of(effort)
    return native | ({} if think is None else {"think": think})


def options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the native options; temperature and top_p default to 1 here."""
    stop = given.get("stop")
    found = {
        "temperature": given.get("temperature", 1.0),
        "top_p": given.get("top_p", 1.0),
        "seed": given.get("seed"),
        "num_predict": given.get("max_tokens") or given.get("max_completion_tokens"),
        "frequency_penalty": given.get("frequency_penalty"),
        "presence_penalty": given.get("presence_penalty"),
        "stop": [stop] if isinstance(stop, str) else stop,
    }
    return {key: value for key, value in found.items() if value is not None}


def _message(message: dict[str, Any]) -> list[dict[str, Any]]:
    role, content = message.get("role", ""), message.get("content")
    calls = [_native_call(call) for call in message.get("tool_calls") or []]
    if isinstance(content, str) or content is None:
        made = {"role": role, "content": content or ""}
        return [made | ({"tool_calls": calls} if calls else {})]
    if not isinstance(content, list):
        raise EarlyError(f"invalid message content type: {type(content).__name__}")
    found = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            found.append({"role": role, "content": str(part.get("text", ""))})
        elif kind == "image_url":
            found.append({"role": role, "content": "", "images": [image(part.get("image_url"))]})
        else:
            raise EarlyError("invalid message format")
    return found


def image(given: Any) -> str:
    """Return the base64 text of a data URI; EarlyError for a URL to be fetched."""
    url = given.get("url", "") if isinstance(given, dict) else given
    if not isinstance(url, str) or not url.startswith("data:"):
        raise EarlyError("image URLs are not currently supported, please use base64 encoded data instead")
    head, comma, data = url.partition(";base64,")
    if not comma or head not in {"data:image/jpeg", "data:image/jpg", "data:image/png", "data:image/webp"}:
        raise EarlyError("invalid image input")
    return data


def _native_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError:
        raise EarlyError("invalid tool call arguments") from None
    return {"id": call.get("id", ""), "function": {"name": function.get("name", ""), "arguments": arguments}}


def usage(line: dict[str, Any]) -> dict[str, int]:
    """Return the `usage` object of a last native line."""
    prompt, completion = line.get("prompt_eval_count", 0), line.get("eval_count", 0)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": call["id"],
            "index": call["function"]["index"],
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": json.dumps(call["function"]["arguments"])},
        }
        for call in message.get("tool_calls") or []
    ]


def _said(message: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": message.get("content", "")}
    if message.get("thinking"):
        made["reasoning"] = message["thinking"]
    calls = _calls(message)
    return made | ({"tool_calls": calls} if calls else {})


class OpenAiChat:
    """The handler."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def completions(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        try:
            given = await body(request, _CHAT)
            native = to_native(given)
        except EarlyError as early:
            return refused(early.error, early=True)
        try:
            start = await start_chat(self._app, native, "/v1/chat/completions")
            if given.get("stream") and start.lines is not None:
                wants = bool((given.get("stream_options") or {}).get("include_usage"))
                return await sse(_events(start.lines, with_usage=wants))
            line = start.line if start.lines is None else await whole(start.lines)
        except ApiError as error:
            return refused(error)
        return json_response(_completion(line or {}), 200, JSON)


def _completion(line: dict[str, Any]) -> dict[str, Any]:
    message = line.get("message", {})
    reason = "tool_calls" if message.get("tool_calls") else line.get("done_reason") or None
    return {
        "id": f"chatcmpl-{number()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": line.get("model", ""),
        "system_fingerprint": FINGERPRINT,
        "choices": [{"index": 0, "message": _said(message), "finish_reason": reason}],
        "usage": usage(line),
    }


async def _events(lines: Lines, *, with_usage: bool) -> AsyncIterator[bytes]:
    head = {"id": f"chatcmpl-{number()}", "object": "chat.completion.chunk", "created": int(time.time())}
    called = begun = False

    def chunk(model: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return event({**head, "model": model, "system_fingerprint": FINGERPRINT, "choices": choices, **more})

    def choice(delta: dict[str, Any], reason: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "finish_reason": reason}]

    try:
        async for line in lines:
            called = called or bool(line["message"].get("tool_calls"))
            if not line["done"]:
                begun = True
                yield chunk(line["model"], choice(_said(line["message"])))
                continue
            reason = "tool_calls" if called else line["done_reason"]
            yield chunk(line["model"], choice({"role": "assistant", "content": ""}, reason))
            if with_usage:
                yield chunk(line["model"], [], usage=usage(line))
            yield b"data: [DONE]\n\n"
    except ApiError:
        if not begun:
            raise
        # The real server loses the error's text here, and ends the stream without [DONE].
        yield chunk("", choice({"role": "assistant", "content": ""}))
    except SilentEndError:
        return
