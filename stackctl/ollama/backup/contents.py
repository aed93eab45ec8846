"""The manifest of a backup, and the paths that a model store can have.

A store is ``manifests/HOST/NAMESPACE/MODEL/TAG`` (JSON that names blobs) and
``blobs/sha256-HEX`` (ollama 0.33, server/manifest.go, server/layer.go).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stackctl.errors import ExpectedFailure
from stackctl.ollama import model_names
from stackctl.ollama.backup.frames import Damaged
from stackctl.ollama.text import mapping, number, plain

SCHEMA = "stackctl.backup/1"
MANIFEST = "stackctl-backup.json"
COMPLETE = ".complete"
MAX_MANIFESTS = 64 << 20
_BLOB = re.compile(r"blobs/sha256-([0-9a-f]{64})\Z")

Say = Callable[[int, int], None]
"""Bytes done and bytes in all."""


@dataclass(frozen=True)
class File:
    """One file of a store: its size in bytes and its SHA-256 in hex."""

    size: int
    sha256: str


@dataclass
class Contents:
    """The contents of a backup: files by path below the store, models by name with the digest of their manifest."""

    files: dict[str, File] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    created: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def to_json(self) -> bytes:
        """The manifest's text."""
        document = {
            "schema": SCHEMA,
            "created": self.created,
            "models": [{"name": name, "digest": digest} for name, digest in self.models.items()],
            "files": {path: {"size": file.size, "sha256": file.sha256} for path, file in self.files.items()},
        }
        return json.dumps(document, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Contents:
        """Read a manifest; raises :class:`Damaged` where it cannot be read or its models do not match its files."""
        try:
            document: Any = json.loads(data)
            if document["schema"] != SCHEMA:
                raise Damaged(f"the backup is of another kind ({plain(document['schema'], 60)})")
            files = {path: _file(path, entry) for path, entry in document["files"].items()}
            models = [(model["name"], model["digest"]) for model in document["models"]]
            created = plain(document["created"], 60)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Damaged("the file is damaged: its manifest cannot be read") from None
        found = [(model_of(path), file.sha256) for path, file in files.items() if is_manifest(path)]
        if sorted(models, key=str) != sorted(found, key=str):
            raise Damaged("the file is damaged: its list of models is not what its files are")
        return cls(files, dict(found), created)


def _file(path: str, entry: Any) -> File:
    size, sha256 = entry["size"], entry["sha256"]
    blob = _BLOB.match(path)
    if not (blob or is_manifest(path)) or type(size) is not int or size < 0 or (blob and blob[1] != sha256):
        raise Damaged(f"the backup lists a file that no store has: {plain(path, 200)}")
    return File(size, str(sha256))


def is_manifest(path: str) -> bool:
    """Whether a path below a store is that of a model's manifest, with a name that Ollama takes."""
    parts = path.split("/")
    return len(parts) == 5 and parts[0] == "manifests" and model_names.is_valid(f"{'/'.join(parts[1:4])}:{parts[4]}")


def model_of(path: str) -> str:
    """The name of the model that a manifest's path stands for, as Ollama lists it."""
    host, namespace, model, tag = path.split("/")[1:]
    return model_names.ModelName(model, tag, namespace, host).short


def layers_of(path: str, data: bytes) -> Iterator[tuple[str, int]]:
    """SHA-256 and size of each blob that a model's manifest names; raises ``ExpectedFailure`` where it is none."""
    try:
        document = mapping(json.loads(data))
    except (ValueError, RecursionError):
        raise ExpectedFailure(f"the store's manifest of {model_of(path)} is damaged", hint="pull it again") from None
    layers = document.get("layers")
    for layer in [document.get("config"), *(layers if isinstance(layers, list) else [])]:
        match = re.fullmatch(r"sha256[:-]([0-9a-f]{64})", str(mapping(layer).get("digest")))
        if match:
            yield match[1], number(mapping(layer).get("size"))
