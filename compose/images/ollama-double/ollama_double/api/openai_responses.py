"""POST /v1/responses."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ollama_double.api.chat import Lines, start_chat, whole
from ollama_double.api.openai_chat import image
from ollama_double.api.openai_common import EarlyError, body, event, number, refused, sse, think_of
from ollama_double.gojson import Struct
from ollama_double.net.web import JSON, ApiError, Request, Response, json_response
from ollama_double.runners.inference import SilentEndError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ollama_double.app import App

_REQUEST = Struct("ResponsesRequest", {
    "model": "string", "input": "any", "instructions": "string", "max_output_tokens": "int", "reasoning": "map",
    "stream": "bool", "temperature": "float64", "top_p": "float64", "text": "map", "tools": ["map"],
})  # fmt: skip


def _to_native(given: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "system", "content": given["instructions"]}] if given.get("instructions") else []
    asked = given.get("input")
    if isinstance(asked, str):
        messages.append({"role": "user", "content": asked})
    elif isinstance(asked, list):
        messages += [_item(item) for item in asked]
    elif asked is not None:
        raise EarlyError("input must be a string or array")
    options = {"temperature": given.get("temperature", 1.0), "top_p": given.get("top_p", 1.0)}
    if given.get("max_output_tokens"):
        options["num_predict"] = given["max_output_tokens"]
    native: dict[str, Any] = {"model": given.get("model", ""), "messages": messages, "options": options}
    native["tools"] = [
        {"type": "function", "function": {key: tool.get(key) for key in ("name", "description", "parameters")}}
        for tool in given.get("tools") or []
        if tool.get("type") == "function"
    ]
    form = (given.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        native["format"] = form.get("schema") or {}
    elif form.get("type") == "json_object":
        native["format"] = "json"
    think = think_of((given.get("reasoning") or {}).get("effort"))
    return native | ({} if think is None else {"think": think})


def _item(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise EarlyError("invalid input item")
    kind = item.get("type", "message")
    if kind == "function_call_output":
        return {"role": "tool", "content": str(item.get("output", ""))}
    if kind == "function_call":
        try:
            arguments = json.loads(item.get("arguments") or "{}")
        except ValueError:
            raise EarlyError("invalid tool call arguments") from None
        function = {"name": item.get("name", ""), "arguments": arguments}
        return {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": item.get("call_id", ""), "function": function}],
        }
    if kind != "message":
        raise EarlyError(f"unknown input item type: {kind}")
    content, images = item.get("content", ""), []
    if isinstance(content, list):
        images = [image(part.get("image_url")) for part in content if part.get("type") == "input_image"]
        content = "".join(str(part.get("text", "")) for part in content)
    role = "system" if item.get("role") == "developer" else item.get("role", "user")
    return {"role": role, "content": content} | ({"images": images} if images else {})


def _usage(line: dict[str, Any]) -> dict[str, Any]:
    read, written = line.get("prompt_eval_count", 0), line.get("eval_count", 0)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }


class _Answer:
    """The response object as it grows."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.id = f"resp_{number()}"
        self.item = f"msg_{number()}"
        self.created = int(time.time())
        self._given = given

    def value(self, status: str, output: list[dict[str, Any]], line: dict[str, Any] | None) -> dict[str, Any]:
        """Return it with its output so far."""
        given = self._given
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": given.get("instructions"),
            "max_output_tokens": given.get("max_output_tokens"),
            "model": given.get("model", ""),
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "temperature": given.get("temperature", 1.0),
            "text": given.get("text") or {"format": {"type": "text"}},
            "tools": given.get("tools") or [],
            "top_p": given.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": _usage(line) if line else None,
        }

    def message(self, text: str, status: str = "completed") -> dict[str, Any]:
        """Return the output item of a text."""
        content = [] if status == "in_progress" else [_part(text)]
        return {"id": self.item, "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {"id": f"fc_{call['id']}", "type": "function_call", "status": "completed", "call_id": call["id"],
            "name": function["name"], "arguments": json.dumps(function["arguments"])}  # fmt: skip


class OpenAiResponses:
    """The handler."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def create(self, request: Request) -> Response:
        """POST /v1/responses."""
        try:
            given = await body(request, _REQUEST)
            native = _to_native(given)
        except EarlyError as early:
            return refused(early.error, early=True)
        answer = _Answer(given)
        try:
            start = await start_chat(self._app, native, "/v1/responses")
            if given.get("stream") and start.lines is not None:
                return await sse(_events(start.lines, answer))
            line = (start.line if start.lines is None else await whole(start.lines)) or {}
        except ApiError as error:
            return refused(error)
        message = line.get("message", {})
        output = [_call(call) for call in message.get("tool_calls") or []]
        if message.get("content") or not output:
            output.insert(0, answer.message(message.get("content", "")))
        if message.get("thinking"):
            summary = [{"type": "summary_text", "text": message["thinking"]}]
            output.insert(0, {"id": f"rs_{number()}", "type": "reasoning", "summary": summary})
        return json_response(answer.value("completed", output, line), 200, JSON)


async def _events(lines: Lines, answer: _Answer) -> AsyncIterator[bytes]:
    sequence, text = -1, ""
    calls: list[dict[str, Any]] = []

    def say(kind: str, **fields: Any) -> bytes:
        nonlocal sequence
        sequence += 1
        return event({"type": f"response.{kind}", "sequence_number": sequence, **fields}, f"response.{kind}")

    place = {"item_id": answer.item, "output_index": 0, "content_index": 0}
    begun = False
    try:
        async for line in lines:
            if not begun:
                begun = True
                yield say("created", response=answer.value("in_progress", [], None))
                yield say("in_progress", response=answer.value("in_progress", [], None))
                yield say("output_item.added", output_index=0, item=answer.message("", "in_progress"))
                yield say("content_part.added", **place, part=_part(""))
            message = line["message"]
            calls += message.get("tool_calls") or []
            if message["content"]:
                text += message["content"]
                yield say("output_text.delta", **place, delta=message["content"], logprobs=[])
            if line["done"]:
                yield say("output_text.done", **place, text=text, logprobs=[])
                yield say("content_part.done", **place, part=_part(text))
                yield say("output_item.done", output_index=0, item=answer.message(text))
                output = [answer.message(text), *(_call(call) for call in calls)]
                yield say("completed", response=answer.value("completed", output, line))
    except ApiError:
        if not begun:
            raise
    except SilentEndError:
        return
