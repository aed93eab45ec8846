"""POST /api/pull and /api/push: lines of progress."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from ollama_double.api.chat import Lines, ndjson
from ollama_double.app import App, refer
from ollama_double.gojson import Struct
from ollama_double.net.web import JSON, ApiError, Request, Response, error_response, json_response
from ollama_double.store import bundle, names, pull, push, registry

if TYPE_CHECKING:
    from ollama_double.store.disk import Model

_PULL = Struct("PullRequest", {"model": "string", "name": "string", "insecure": "bool", "stream": "bool",
                               "username": "string", "password": "string"})  # fmt: skip


async def progress(lines: Lines, *, stream: bool) -> Response:
    """Answer lines of progress: all of them, or the last one; a failure is then a 500."""
    if stream:
        return await ndjson(lines)
    last: dict[str, Any] = {}
    try:
        async for line in lines:
            last = line
    except ApiError as error:
        return error_response(error, JSON)
    return json_response(last, 200, JSON)


async def pull_lines(app: App, name: names.Name, *, insecure: bool) -> Lines:
    """Pull `name`, yielding the real server's lines."""
    yield {"status": "pulling manifest"}
    source = registry.source(name, app.catalogue, app.faults, app.settings, insecure=insecure)
    try:
        stub = name.host == names.DEFAULT_HOST and (name.tag == "cloud" or name.tag.endswith("-cloud"))
        manifest = await (_stub_manifest(app, name) if stub else source.manifest())
        layers = pull.layers_of(manifest)
        if not stub:
            # What was there already is not verified again, just as in the real server.
            fetched = [layer for layer in layers if not app.store.blob(layer["digest"]).exists()]
            async for line in _layers(app, source, layers):
                yield line
            yield {"status": "verifying sha256 digest"}
            for layer in fetched:
                await asyncio.to_thread(pull.verify, app.store.blob(layer["digest"]), layer["digest"])
    except registry.PullError as error:
        raise ApiError(500, str(error)) from None
    yield {"status": "writing manifest"}
    before = app.store.find(name)
    app.store.put(name, manifest)
    if before is not None and app.store.drop_unused(before):
        yield {"status": "removing unused layers"}
    yield {"status": "success"}


async def _layers(app: App, source: registry.Source, layers: list[dict[str, Any]]) -> Lines:
    for layer in layers:
        digest, total = layer["digest"], layer["size"]
        line = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": total}
        async for completed in app.downloads.fetch(source, digest, total):
            yield line | ({"completed": completed} if completed else {})


async def _stub_manifest(app: App, name: names.Name) -> bytes:
    base = name.tag.removesuffix("cloud").rstrip("-") or names.DEFAULT_TAG
    plain = names.Name(name.host, name.namespace, name.model, base)
    source = registry.source(plain, app.catalogue, app.faults, app.settings, insecure=False)
    await source.manifest()
    entry = app.catalogue[f"{name.model}:{base}".lower()]
    config = {
        "model_format": "", "model_family": entry.family, "model_families": [entry.family],
        "model_type": entry.parameters, "file_type": "Q4_K_M", "remote_host": "https://ollama.com:443",
        "remote_model": f"{name.model}:{base}" if base != names.DEFAULT_TAG else name.model,
        "capabilities": list(entry.capabilities), "context_length": entry.context,
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
    }  # fmt: skip
    blob = bundle.text_blob(json.dumps(config).encode())
    app.store.put_blob(blob.head)
    return bundle.manifest(blob, [])


class PullApi:
    """The two handlers."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def pull(self, request: Request) -> Response:
        """POST /api/pull."""
        body = await self._app.body(request, _PULL)
        sent = body.get("model") or body.get("name") or ""
        refer(sent)
        name = names.pulled(sent)
        if not name.valid:
            raise ApiError(400, "invalid model name")
        lines = pull_lines(self._app, name, insecure=body.get("insecure", False))
        return await progress(lines, stream=body.get("stream", True))

    async def push(self, request: Request) -> Response:
        """POST /api/push."""
        body = await self._app.body(request, _PULL)
        sent = body.get("model") or body.get("name") or ""
        if not sent:
            raise ApiError(400, "model is required")
        name = names.parse(sent)
        if not name.valid:
            raise ApiError(400, "invalid model name")
        lines = _push_lines(self._app, name, insecure=body.get("insecure", False))
        return await progress(lines, stream=body.get("stream", True))


async def _push_lines(app: App, name: names.Name, *, insecure: bool) -> Lines:
    yield {"status": "retrieving manifest"}
    model: Model | None = app.store.find(name)
    if model is None:
        yield {"status": "couldn't retrieve manifest"}
        raise ApiError(500, f"open {app.store.manifests / name.path}: no such file or directory")
    if name.host == names.DEFAULT_HOST:
        raise ApiError(500, push.DENIED)
    try:
        async for line in push.send(model, name, insecure=insecure):
            yield line
    except registry.PullError as error:
        raise ApiError(500, str(error)) from None
    yield {"status": "success"}
