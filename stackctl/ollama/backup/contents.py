"""What a backup holds: its manifest, and which paths a store can have.

A store is ``manifests/HOST/NAMESPACE/MODEL/TAG`` (JSON that names blobs) and
``blobs/sha256-HEX`` (ollama 0.33, server/manifest.go, server/layer.go).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stackctl.ollama.backup.frames import Damaged
from stackctl.ollama.text import plain

SCHEMA = "stackctl.backup/1"
MANIFEST = "stackctl-backup.json"
COMPLETE = ".complete"
MAX_MANIFESTS = 64 << 20
_BLOB = re.compile(r"^blobs/sha256-([0-9a-f]{64})$")
_MODEL = re.compile(r"^manifests/([^/\x00-\x1f]+)/([^/\x00-\x1f]+)/([^/\x00-\x1f]+)/([^/\x00-\x1f]+)$")

Say = Callable[[int, int], None]
"""Bytes done and bytes in all."""


@dataclass(frozen=True)
class File:
    """One file of a store: its size in bytes and its SHA-256 in hex."""

    size: int
    sha256: str


@dataclass
class Contents:
    """What a backup holds: files by path below the store, models by name with the digest of their manifest."""

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
        """Read a manifest; raises :class:`Damaged`."""
        try:
            document: Any = json.loads(data)
            if document["schema"] != SCHEMA:
                raise Damaged(f"the backup is of another kind ({plain(document['schema'], 60)})")
            files = {str(p): File(int(f["size"]), str(f["sha256"])) for p, f in document["files"].items()}
            models = {str(m["name"]): str(m["digest"]) for m in document["models"]}
            created = str(document["created"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Damaged("the file is damaged: its manifest cannot be read") from None
        for path, file in files.items():
            blob = _BLOB.match(path)
            if not (blob or is_manifest(path)) or file.size < 0 or (blob and blob[1] != file.sha256):
                raise Damaged(f"the backup lists a file that no store has: {plain(path, 200)}")
        return cls(files, models, created)


def is_manifest(path: str) -> bool:
    """Whether a path below a store is that of a model's manifest."""
    return bool(_MODEL.match(path)) and not {".", ".."} & set(path.split("/"))
