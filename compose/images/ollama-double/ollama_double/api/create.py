"""POST /api/create: from another model, from uploaded files, or as a stub for a remote one."""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Any

from ollama_double.api.pull import progress, pull_lines
from ollama_double.app import App, refer
from ollama_double.gojson import Struct
from ollama_double.net.web import JSON, ApiError, Request, Response
from ollama_double.runners.inference import check_options
from ollama_double.store import bundle, gguf, names

if TYPE_CHECKING:
    from ollama_double.api.chat import Lines
    from ollama_double.store.disk import Model

_CREATE = Struct("CreateRequest", {
    "model": "string", "name": "string", "from": "string", "remote_host": "string", "files": "strings",
    "adapters": "strings", "template": "string", "license": "any", "system": "string", "parameters": "map",
    "messages": ["map"], "quantize": "string", "stream": "bool", "info": "map",
    "renderer": "string", "parser": "string",
})  # fmt: skip
_FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 7: "Q8_0", 15: "Q4_K_M", 32: "BF16"}

Layers = list[tuple[str, bundle.Blob]]


class CreateApi:
    """The handler."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def create(self, request: Request) -> Response:
        """POST /api/create."""
        body = await self._app.body(request, _CREATE)
        name = names.parse(body.get("model") or body.get("name") or "")
        if not name.valid:
            raise ApiError(400, "invalid model name")
        for path, digest in {**(body.get("files") or {}), **(body.get("adapters") or {})}.items():
            if posixpath.isabs(path) or posixpath.normpath(path).startswith(".."):
                raise ApiError(400, "file path must be relative")
            if not digest:
                raise ApiError(400, "invalid digest format")
        if not body.get("from") and not body.get("files"):
            raise ApiError(400, "neither 'from' or 'files' was specified", JSON)
        return await progress(self._lines(name, body), stream=body.get("stream", True))

    async def _lines(self, name: names.Name, body: dict[str, Any]) -> Lines:
        config: dict[str, Any] = {}
        layers: list[dict[str, Any]] = []
        if body.get("remote_host"):
            config = _stub_config(body)
        elif body.get("from"):
            async for line in self._base(body["from"]):
                yield line
            model = self._found(body["from"])
            config = {key: value for key, value in model.config.items() if key != "rootfs"}
            config["parent_model"] = model.name.short
            layers = list(model.layers)
            for layer in layers:
                yield {"status": f"using existing layer {layer['digest']}"}
        else:
            yield {"status": "parsing GGUF"}
            config, layers = self._from_files(body["files"])
            for layer in layers:
                yield {"status": f"using existing layer {layer['digest']}"}
        for kind, data in _extras(body, self._old_parameters(layers)):
            layers = [layer for layer in layers if layer["mediaType"] != kind]
            known = self._app.store.blob(bundle.sha256(data)).exists()
            digest = self._app.store.put_blob(data)
            layers.append({"mediaType": kind, "digest": digest, "size": len(data)})
            yield {"status": f"{'using existing' if known else 'creating new'} layer {digest}"}
        config |= {"architecture": "amd64", "os": "linux"}
        config["rootfs"] = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
        data = json.dumps(config).encode()
        digest = self._app.store.put_blob(data)
        yield {"status": "writing manifest"}
        value = {
            "schemaVersion": 2,
            "mediaType": bundle.MANIFEST,
            "config": {"mediaType": bundle.CONFIG, "digest": digest, "size": len(data)},
            "layers": layers,
        }
        self._app.store.put(name, json.dumps(value, separators=(",", ":")).encode())
        yield {"status": "success"}

    async def _base(self, sent: str) -> Lines:
        name = refer(sent).name
        if not name.valid:
            raise ApiError(500, "invalid model name")
        if self._app.store.find(name) is None:
            async for line in pull_lines(self._app, name, insecure=False):
                if line["status"] != "success":
                    yield line

    def _found(self, sent: str) -> Model:
        return self._app.find(sent, f"model '{sent}' not found", call="/api/create")

    def _old_parameters(self, layers: list[dict[str, Any]]) -> dict[str, Any]:
        for layer in layers:
            if layer["mediaType"] == bundle.PARAMS:
                return dict(json.loads(self._app.store.blob(layer["digest"]).read_bytes()))
        return {}

    def _from_files(self, files: dict[str, str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        layers, header = [], gguf.Header()
        for digest in files.values():
            plain = names.digest(digest)
            if plain is None:
                raise ApiError(400, "invalid digest format")
            path = self._app.store.blob(f"sha256:{plain}")
            if not path.exists():
                raise ApiError(500, f"open {path}: no such file or directory")
            try:
                header = gguf.read_header(path)
            except gguf.NotGGUFError as error:
                raise ApiError(400, "unknown type" if "magic" in str(error) else str(error)) from None
            layers.append({"mediaType": bundle.MODEL, "digest": f"sha256:{plain}", "size": path.stat().st_size})
        family = str(header.values.get("general.architecture", ""))
        count = int(header.values.get("general.parameter_count", 0))
        config = {
            "model_format": "gguf", "model_family": family, "model_families": [family],
            "model_type": f"{count / 1e9:.1f}B" if count >= 10**9 else f"{count / 1e6:.2f}M",
            "file_type": _FILE_TYPES.get(int(header.values.get("general.file_type", -1)), "unknown"),
        }  # fmt: skip
        return config, layers


def _stub_config(body: dict[str, Any]) -> dict[str, Any]:
    info = body.get("info") or {}
    config = {
        "model_format": "", "model_family": info.get("model_family", ""), "model_families": None, "model_type": "",
        "file_type": "", "remote_host": body["remote_host"], "remote_model": body.get("from", ""),
        "capabilities": info.get("capabilities") or [],
    }  # fmt: skip
    return config | {key: info[key] for key in ("context_length", "embedding_length") if info.get(key)}


def _extras(body: dict[str, Any], parameters: dict[str, Any]) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    if body.get("template"):
        if body["template"].count("{{") != body["template"].count("}}"):
            raise ApiError(400, "template error: template: :1: unclosed action")
        found.append((bundle.TEMPLATE, body["template"].encode()))
    if body.get("system"):
        found.append((bundle.SYSTEM, body["system"].encode()))
    licences = body.get("license") or []
    texts = [licences] if isinstance(licences, str) else licences
    found += [(bundle.LICENSE, str(text).encode()) for text in texts]
    if body.get("parameters"):
        check_options(body["parameters"])
        found.append((bundle.PARAMS, json.dumps(parameters | body["parameters"]).encode()))
    if body.get("messages"):
        found.append((bundle.MESSAGES, json.dumps(body["messages"]).encode()))
    return found
