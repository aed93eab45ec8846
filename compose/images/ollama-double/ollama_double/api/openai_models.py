"""GET /v1/models, POST /v1/completions, /v1/embeddings and /v1/audio/transcriptions."""

from __future__ import annotations

import base64
import re
import struct
import time
from typing import TYPE_CHECKING, Any

from ollama_double.api import embed as embed_api
from ollama_double.api.chat import Lines, start_generate, whole
from ollama_double.api.models import missing_tagged
from ollama_double.api.openai_chat import options, usage
from ollama_double.api.openai_common import FINGERPRINT, EarlyError, body, event, number, refused, sse
from ollama_double.gojson import Struct
from ollama_double.net.web import JSON, ApiError, Request, Response, json_response
from ollama_double.runners.inference import SilentEndError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ollama_double.app import App
    from ollama_double.store.disk import Model

_COMPLETION = Struct("CompletionRequest", {
    "model": "string", "prompt": "string", "suffix": "string", "stream": "bool", "stream_options": "map",
    "max_tokens": "int", "seed": "int", "stop": "any", "temperature": "float64", "frequency_penalty": "float64",
    "presence_penalty": "float64", "top_p": "float64",
})  # fmt: skip
_EMBED = Struct("EmbedRequest", {"model": "string", "input": "any", "dimensions": "int", "encoding_format": "string"})


def _listed(model: Model, shown: str) -> dict[str, Any]:
    return {"id": shown, "object": "model", "created": model.modified_ns // 10**9, "owned_by": model.name.namespace}


class OpenAiModels:
    """The handlers."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def list(self, request: Request) -> Response:
        """GET /v1/models."""
        del request
        models = sorted(self._app.store.models(), key=lambda model: model.modified_ns // 10**9, reverse=True)
        return json_response({"object": "list", "data": [_listed(m, m.name.short) for m in models] or None}, 200, JSON)

    async def get(self, request: Request) -> Response:
        """GET /v1/models/:model."""
        sent = request.params["model"]
        try:
            model = self._app.find(
                sent, missing_tagged(sent), remote_what="model details are unavailable", call="/api/show"
            )
        except ApiError as error:
            return refused(error)
        return json_response(_listed(model, sent), 200, JSON)

    async def completions(self, request: Request) -> Response:
        """POST /v1/completions."""
        try:
            given = await body(request, _COMPLETION)
        except EarlyError as early:
            return refused(early.error, early=True)
        native = {"model": given.get("model", ""), "prompt": given.get("prompt", ""), "suffix": given.get("suffix", "")}
        try:
            start = await start_generate(self._app, native | {"options": options(given)})
            if given.get("stream") and start.lines is not None:
                wants = bool((given.get("stream_options") or {}).get("include_usage"))
                return await sse(_text_events(start.lines, with_usage=wants))
            line = start.line if start.lines is None else await whole(start.lines)
        except ApiError as error:
            return refused(error)
        return json_response(_text_completion(line or {}), 200, JSON)

    async def embeddings(self, request: Request) -> Response:
        """POST /v1/embeddings."""
        try:
            given = await body(request, _EMBED)
            _check_embedding(given)
        except EarlyError as early:
            return refused(early.error, early=True)
        native = {key: value for key, value in given.items() if key != "encoding_format"}
        try:
            made = await embed_api.embed(self._app, native)
        except ApiError as error:
            return refused(error)
        count, packed = made.get("prompt_eval_count", 0), given.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "embedding": _base64(vector) if packed else vector, "index": index}
            for index, vector in enumerate(made["embeddings"])
        ]
        value = {"object": "list", "data": data, "model": made["model"]}
        return json_response(value | {"usage": {"prompt_tokens": count, "total_tokens": count}}, 200, JSON)

    async def transcriptions(self, request: Request) -> Response:
        """POST /v1/audio/transcriptions: no model of the double can hear, so each one is refused."""
        kind = request.header("Content-Type") or ""
        if not kind.startswith("multipart/form-data"):
            return refused(ApiError(400, "request Content-Type isn't multipart/form-data"), early=True)
        data = (await request.body.read()).decode("utf-8", "replace")
        match = re.search(r'name="model"\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]*)', data)
        sent = match.group(1) if match else ""
        if not sent:
            return refused(ApiError(400, "model is required"))
        if 'name="file"' not in data:
            return refused(ApiError(400, "file is required"))
        try:
            model = self._app.find(sent, f"model '{sent}' not found")
        except ApiError as error:
            return refused(error)
        return refused(ApiError(400, f"{model.name.full} does not support audio"))


def _check_embedding(given: dict[str, Any]) -> None:
    wanted = given.get("encoding_format", "float")
    if wanted not in {"float", "base64"}:
        raise EarlyError(f"Invalid value for 'encoding_format' = {wanted}. Supported values: ['float', 'base64'].")
    if given.get("input") in (None, "", []):
        raise EarlyError("invalid input")


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _text_completion(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"cmpl-{number()}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": line.get("model", ""),
        "system_fingerprint": FINGERPRINT,
        "choices": [{"text": line.get("response", ""), "index": 0, "finish_reason": line.get("done_reason")}],
        "usage": usage(line),
    }


async def _text_events(lines: Lines, *, with_usage: bool) -> AsyncIterator[bytes]:
    head = {"id": f"cmpl-{number()}", "object": "text_completion", "created": int(time.time())}
    zero = {"usage": usage({})} if with_usage else {}
    begun = False

    def chunk(model: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return event({**head, "choices": choices, "model": model, "system_fingerprint": FINGERPRINT, **more})

    try:
        async for line in lines:
            begun = True
            choice = {"text": line["response"], "index": 0, "finish_reason": line.get("done_reason")}
            yield chunk(line["model"], [choice], **zero)
            if line["done"]:
                if with_usage:
                    yield chunk(line["model"], [], usage=usage(line))
                yield b"data: [DONE]\n\n"
    except ApiError:
        if not begun:
            raise
        yield chunk("", [{"text": "", "index": 0, "finish_reason": None}], **zero)
    except SilentEndError:
        return
