"""The model store on disk, laid out as the real one: `blobs/sha256-…` and `manifests/host/ns/model/tag`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_double import log
from ollama_double.store import bundle, gguf, names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STALE = 3600  # seconds after which the real server drops partial downloads at start


@dataclass
class Model:
    """One stored model as its manifest tells it; `digest` is the manifest's own, bare hex."""

    name: names.Name
    digest: str
    size: int
    modified_ns: int
    config: dict[str, Any]
    config_digest: str
    layers: list[dict[str, Any]]
    store: Store
    _header: gguf.Header | None = field(default=None, repr=False)

    @property
    def weights(self) -> str:
        """The digest of the weights' blob, or the model's own where there is none."""
        return next((layer["digest"] for layer in self.layers if layer["mediaType"] == bundle.MODEL), self.digest)

    @property
    def weights_size(self) -> int:
        """The size of the weights in bytes."""
        return sum(layer["size"] for layer in self.layers if layer["mediaType"] == bundle.MODEL)

    @property
    def remote(self) -> tuple[str, str] | None:
        """The host and model that a stub stands for."""
        host, model = self.config.get("remote_host"), self.config.get("remote_model")
        return (host, model) if host and model else None

    def text(self, kind: str) -> str | None:
        """Return the text of the first layer of that media type."""
        for layer in self.layers:
            if layer["mediaType"] == kind:
                return self.store.blob(layer["digest"]).read_text(errors="replace")
        return None

    @property
    def parameters(self) -> dict[str, Any]:
        """The model's own parameters."""
        text = self.text(bundle.PARAMS)
        return dict(json.loads(text)) if text else {}

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The model's own messages."""
        text = self.text(bundle.MESSAGES)
        return list(json.loads(text)) if text else []

    @property
    def header(self) -> gguf.Header:
        """The weights' GGUF header, empty where there is none."""
        if self._header is None:
            digest = self.weights
            self._header = self.store.header(digest) if digest.startswith("sha256:") else gguf.Header()
        return self._header

    @property
    def architecture(self) -> str:
        """The family as the header names it."""
        return str(self.header.values.get("general.architecture") or self.config.get("model_family") or "")

    def value(self, key: str, default: int = 0) -> int:
        """Return `<architecture>.<key>` of the header."""
        return int(self.header.values.get(f"{self.architecture}.{key}", default))

    @property
    def capabilities(self) -> list[str]:
        """What the model can do, read off its header and template as the real server does."""
        if self.remote:
            return list(self.config.get("capabilities") or [])
        found = ["embedding"] if f"{self.architecture}.pooling_type" in self.header.values else ["completion"]
        if f"{self.architecture}.vision.block_count" in self.header.values:
            found.append("vision")
        template = self.text(bundle.TEMPLATE) or ""
        marks = {"tools": ".Tools", "insert": ".Suffix", "thinking": ".Thinking"}
        return found + [capability for capability, mark in marks.items() if mark in template]


class Store:
    """The folder of OLLAMA_MODELS."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.manifests = root / "manifests"
        self._headers: dict[str, gguf.Header] = {}
        self._cache: dict[Path, tuple[tuple[int, int], Model]] = {}

    def open(self, *, prune: bool) -> None:
        """Make the folders, drop stale partial downloads and, with `prune`, blobs that nobody uses."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.manifests.mkdir(parents=True, exist_ok=True)
        if not os.access(self.blobs, os.W_OK):
            raise PermissionError(13, "permission denied", str(self.blobs))
        log.line("INFO", "images.go:477", f"total blobs: {sum(1 for _ in self.blobs.iterdir())}")
        removed = self._prune() if prune else 0
        log.line("INFO", "images.go:484", f"total unused blobs removed: {removed}")

    def _prune(self) -> int:
        used = {layer for model in self.models() for layer in _digests(model)}
        removed = 0
        for path in self.blobs.iterdir():
            if "-partial" in path.name:
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink(missing_ok=True)
            elif path.name.replace("-", ":", 1) not in used:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def blob(self, digest: str) -> Path:
        """Return where the blob of `sha256:…` lies."""
        return self.blobs / digest.replace(":", "-", 1)

    def header(self, digest: str) -> gguf.Header:
        """Return the GGUF header of a blob; an empty one where it is something else."""
        if digest not in self._headers:
            try:
                self._headers[digest] = gguf.read_header(self.blob(digest))
            except (OSError, gguf.NotGGUFError):
                return gguf.Header()
        return self._headers[digest]

    def models(self) -> Iterator[Model]:
        """Yield every model with a sound manifest; others are left out with a warning."""
        for path in sorted(self.manifests.glob("*/*/*/*")):
            if path.is_file():
                model = self._model(path)
                if model is not None:
                    yield model

    def _model(self, path: Path) -> Model | None:
        parts = path.relative_to(self.manifests).parts
        name = names.Name(*parts)
        try:
            stat = path.stat()
            key = (stat.st_mtime_ns, stat.st_size)
            cached = self._cache.get(path)
            if cached is not None and cached[0] == key:
                return cached[1]
            data = path.read_bytes()
            value = json.loads(data)
            config_digest = value["config"]["digest"]
            config = json.loads(self.blob(config_digest).read_bytes())
            layers = value["layers"] or []
            size = value["config"]["size"] + sum(layer["size"] for layer in layers)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.line("WARN", "manifest.go:160", "bad manifest", name=name.full, error=error)
            return None
        digest = hashlib.sha256(data).hexdigest()
        model = Model(name, digest, size, stat.st_mtime_ns, config, config_digest, layers, self)
        self._cache[path] = (key, model)
        return model

    def find(self, name: names.Name) -> Model | None:
        """Return the stored model of that name, whatever its case."""
        path = self.manifests / name.path
        if path.is_file():
            return self._model(path)
        wanted = name.folded()
        return next((model for model in self.models() if model.name.folded() == wanted), None)

    def put(self, name: names.Name, manifest: bytes) -> None:
        """Write a manifest under the stored spelling of `name`, or under its own when it is new."""
        known = self.find(name)
        path = self.manifests / (known.name if known else name).path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}~")
        partial.write_bytes(manifest)
        partial.replace(path)

    def put_blob(self, data: bytes) -> str:
        """Store these bytes and return their digest; nothing is written when they are there."""
        digest = bundle.sha256(data)
        path = self.blob(digest)
        if not path.exists():
            partial = path.with_name(f"{path.name}.{os.getpid()}~")
            partial.write_bytes(data)
            partial.replace(path)
        return digest

    def put_bundle(self, name: names.Name, made: bundle.Bundle) -> None:
        """Store a catalogue entry whole, as if it had been pulled."""
        for blob in made.blobs.values():
            path = self.blob(blob.digest)
            if path.exists():
                continue
            partial = path.with_name(f"{path.name}.{os.getpid()}~")
            with partial.open("wb") as file:
                for offset in range(0, blob.size, 1 << 20):
                    self._copy(blob, offset, file)
            partial.replace(path)
        self.put(name, made.manifest)

    @staticmethod
    def _copy(blob: bundle.Blob, offset: int, file: Any) -> None:
        end = min(offset + (1 << 20), blob.size)
        while offset < end:
            piece = blob.read(offset, end - offset)
            file.write(piece)
            offset += len(piece)

    def delete(self, model: Model) -> None:
        """Remove a model and the blobs that no other one uses."""
        path = self.manifests / model.name.path
        path.unlink()
        self._cache.pop(path, None)
        for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
            if any(folder.iterdir()):
                break
            folder.rmdir()
        self.drop_unused(model)

    def drop_unused(self, model: Model) -> bool:
        """Remove the blobs of a former `model` that no stored one uses; say whether there were any."""
        used = {digest for other in self.models() for digest in _digests(other)}
        unused = [digest for digest in _digests(model) if digest not in used]
        for digest in unused:
            self.blob(digest).unlink(missing_ok=True)
        return bool(unused)

    def copy(self, model: Model, name: names.Name) -> None:
        """Give a model another name; its blobs are shared."""
        self.put(name, (self.manifests / model.name.path).read_bytes())

    def wipe(self) -> None:
        """Empty the store."""
        for folder in (self.manifests, self.blobs):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        self._cache.clear()
        self._headers.clear()


def _digests(model: Model) -> list[str]:
    return [model.config_digest, *(layer["digest"] for layer in model.layers)]
