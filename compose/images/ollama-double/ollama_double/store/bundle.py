"""A catalogue entry as the registry serves it: a manifest and its blobs, made on demand, always the same."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_double.store import gguf

if TYPE_CHECKING:
    from ollama_double.store.catalogue import Entry

MODEL = "application/vnd.ollama.image.model"
TEMPLATE = "application/vnd.ollama.image.template"
SYSTEM = "application/vnd.ollama.image.system"
PARAMS = "application/vnd.ollama.image.params"
LICENSE = "application/vnd.ollama.image.license"
MESSAGES = "application/vnd.ollama.image.messages"
PROJECTOR = "application/vnd.ollama.image.projector"
CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

_BLOCK = 1 << 20
_LICENSE = "This is a test double. It holds no weights, and anybody may do with it what they like.\n"


@dataclass(frozen=True)
class Blob:
    """A blob of `size` bytes: `head`, then a block that repeats."""

    digest: str
    size: int
    head: bytes
    block: bytes = b""

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`."""
        count = min(count, self.size - offset)
        if offset < len(self.head):
            return self.head[offset : offset + count]
        start = (offset - len(self.head)) % _BLOCK
        piece = self.block[start : start + count]
        while len(piece) < count:
            piece += self.block[: count - len(piece)]
        return piece


@dataclass(frozen=True)
class Bundle:
    """A manifest's bytes and its blobs by digest (`sha256:…`)."""

    manifest: bytes
    blobs: dict[str, Blob]


def text_blob(data: bytes) -> Blob:
    """Return a small blob of these very bytes."""
    return Blob(sha256(data), len(data), data)


def sha256(data: bytes) -> str:
    """Return `sha256:` and the 64 hex digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@functools.cache
def weights(entry: Entry) -> Blob:
    """Return the entry's weights: a GGUF header and filler that depends on the family and size only."""
    values = entry.metadata
    body = max(0, entry.size - len(gguf.write_header(values, 0)))
    body -= body % 4
    head = gguf.write_header(values, body)
    block = hashlib.shake_128(entry.name.encode()).digest(_BLOCK)
    size = len(head) + body
    digest = hashlib.sha256(head)
    full, rest = divmod(body, _BLOCK)
    for _ in range(full):
        digest.update(block)
    digest.update(block[:rest])
    return Blob("sha256:" + digest.hexdigest(), size, head, block)


def config(entry: Entry, layers: list[str]) -> dict[str, Any]:
    """Return the image's configuration."""
    return {
        "model_format": "gguf",
        "model_family": entry.family,
        "model_families": [entry.family],
        "model_type": entry.parameters,
        "file_type": "F16" if "embedding" in entry.capabilities else "Q4_K_M",
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": layers},
    }


def manifest(config_blob: Blob, layers: list[tuple[str, Blob]]) -> bytes:
    """Return the manifest's bytes."""
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config_blob.digest, "size": config_blob.size},
        "layers": [{"mediaType": kind, "digest": blob.digest, "size": blob.size} for kind, blob in layers],
    }
    return json.dumps(value, separators=(",", ":")).encode()


@functools.cache
def build(entry: Entry) -> Bundle:
    """Make the bundle of an entry."""
    layers = [
        (MODEL, weights(entry)),
        (TEMPLATE, text_blob(entry.template.encode())),
        (LICENSE, text_blob(_LICENSE.encode())),
    ]
    if "completion" in entry.capabilities:
        layers.append((PARAMS, text_blob(b'{"stop":["<|user|>","<|assistant|>"],"temperature":0.6}')))
    config_blob = text_blob(json.dumps(config(entry, [blob.digest for _, blob in layers])).encode())
    blobs = {blob.digest: blob for _, blob in layers}
    blobs[config_blob.digest] = config_blob
    return Bundle(manifest(config_blob, layers), blobs)
