"""POST /api/embed and the older /api/embeddings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ollama_double.api.chat import keep_alive, merged
from ollama_double.gojson import Struct
from ollama_double.net.web import ApiError, Request, Response, json_response
from ollama_double.runners import vectors

if TYPE_CHECKING:
    from ollama_double.app import App

_EMBED = Struct("EmbedRequest", {"model": "string", "input": "any", "keep_alive": "any", "truncate": "bool",
                                 "dimensions": "int", "options": "map"})  # fmt: skip
_OLD = Struct("EmbeddingRequest", {"model": "string", "prompt": "string", "keep_alive": "any", "options": "map"})


async def embed(app: App, body: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to an embed call; ApiError when it is refused."""
    started = time.time_ns()
    kept = keep_alive(body.get("keep_alive"))
    texts = _texts(body.get("input"))
    sent = body.get("model", "")
    if not sent:
        raise ApiError(404, "model '' not found")
    model = app.find(sent, f'model "{sent}" not found, try pulling it first', call="/api/embed")
    runner = await app.scheduler.acquire(model, merged(model, body.get("options") or {}), kept)
    try:
        loaded = time.time_ns()
        if not texts:
            return {"model": sent, "embeddings": []}
        counts = [len(vectors.words(text)) for text in texts]
        if max(counts) > runner.context and body.get("truncate") is False:
            raise ApiError(400, "the input length exceeds the context length")
        length = model.value("embedding_length", 64)
        async with runner.slots:
            found = [vectors.embed(text, length, body.get("dimensions", 0)) for text in texts]
        return {
            "model": sent,
            "embeddings": found,
            "total_duration": max(2, time.time_ns() - started),
            "load_duration": max(1, loaded - started),
            "prompt_eval_count": sum(min(count, runner.context) for count in counts),
        }
    finally:
        app.scheduler.release(runner)


def _texts(given: Any) -> list[str]:
    if given is None or given == "":
        return []
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and all(isinstance(item, str) for item in given):
        return given
    raise ApiError(400, "invalid input type")


class EmbedApi:
    """The two handlers."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def embed(self, request: Request) -> Response:
        """POST /api/embed."""
        return json_response(await embed(self._app, await self._app.body(request, _EMBED)))

    async def embeddings(self, request: Request) -> Response:
        """POST /api/embeddings."""
        app = self._app
        body = await app.body(request, _OLD)
        kept = keep_alive(body.get("keep_alive"))
        sent = body.get("model", "")
        if not sent:
            raise ApiError(400, "model is required")
        model = app.find(sent, f'model "{sent}" not found, try pulling it first', call="/api/embeddings")
        runner = await app.scheduler.acquire(model, merged(model, body.get("options") or {}), kept)
        try:
            prompt = body.get("prompt", "")
            if not prompt:
                return json_response({"embedding": []})
            if len(vectors.words(prompt)) > runner.context:
                raise ApiError(500, "the input length exceeds the context length")
            return json_response({"embedding": vectors.raw(prompt, model.value("embedding_length", 64))})
        finally:
            app.scheduler.release(runner)
