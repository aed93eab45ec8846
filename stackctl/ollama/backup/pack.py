"""A model store to a backup and back: which files, and each held against its digest.

The first member of a backup is its manifest: models, and the size and SHA-256 of
every file. A store is ``manifests/HOST/NAMESPACE/MODEL/TAG`` (JSON that names
blobs) and ``blobs/sha256-HEX`` (ollama 0.33, server/manifest.go, server/layer.go).
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Self

from stackctl.errors import ExpectedFailure, UsageError
from stackctl.ollama import names
from stackctl.ollama.backup import tarstream
from stackctl.ollama.backup.frames import Buffer, Damaged, FrameWriter
from stackctl.ollama.text import mapping, number, plain

SCHEMA = "stackctl.backup/1"
MANIFEST = "stackctl-backup.json"
COMPLETE = ".complete"
BUFFERS = 12
MAX_MANIFESTS = 64 << 20
_BLOB = re.compile(r"^blobs/sha256-([0-9a-f]{64})$")
_MODEL = re.compile(r"^manifests/([^/\x00-\x1f]+)/([^/\x00-\x1f]+)/([^/\x00-\x1f]+)/([^/\x00-\x1f]+)$")


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
            if not (blob or _safe(path)) or file.size < 0 or (blob and blob[1] != file.sha256):
                raise Damaged(f"the backup lists a file that no store has: {plain(path, 200)}")
        return cls(files, models, created)


def _safe(path: str) -> bool:
    return bool(_MODEL.match(path)) and not {".", ".."} & set(path.split("/"))


Say = Callable[[int, int], None]
"""Bytes done and bytes in all."""


def pack(
    read_into: tarstream.ReadInto,
    write: Callable[[list[Buffer]], None],
    *,
    wanted: Iterable[str],
    created: str,
    mtime: int,
    say: Say,
) -> Contents:
    """Turn a tar stream of a store (``manifests`` first) into a backup; only what its models need goes in.

    ``wanted`` are names of models, none for all. Raises ``ExpectedFailure`` where
    a blob is missing or is not what its name says.
    """
    with _Sink(FrameWriter(write)) as sink:
        return _Packer(sink, list(wanted), Contents(created=created), mtime, say).run(read_into)


class _Sink:
    """Compresses and writes in a thread of its own, so that hashing and packing share two cores."""

    def __init__(self, writer: FrameWriter) -> None:
        self._writer = writer
        self._todo: SimpleQueue[tuple[Buffer, bytearray | None] | None] = SimpleQueue()
        self._free: SimpleQueue[bytearray | None] = SimpleQueue()
        for _ in range(BUFFERS):
            self._free.put(bytearray(tarstream.CHUNK))
        self.error: BaseException | None = None
        self._taken: bytearray | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="pack")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        self._todo.put(None)
        self._thread.join()
        if kind is None:
            if self.error is not None:
                raise self.error
            self._writer.close()

    def spare(self) -> bytearray:
        """A free buffer; waits for one."""
        buffer = self._free.get()
        if buffer is None:
            assert self.error is not None  # noqa: S101  (the only reason for None)
            raise self.error
        self._taken = buffer
        return buffer

    def small(self, data: Buffer) -> None:
        """A piece without a buffer of the pool."""
        self._todo.put((data, None))

    def big(self, piece: memoryview) -> None:
        """A payload in the buffer that :meth:`spare` gave last."""
        self._todo.put((piece, self._taken))

    def unused(self) -> None:
        """Give the buffer back that :meth:`spare` gave last."""
        if self._taken is not None:
            self._free.put(self._taken)

    def _run(self) -> None:
        while (item := self._todo.get()) is not None:
            piece, buffer = item
            if self.error is None:
                try:
                    self._writer.add(piece, guarded=buffer is not None)
                except BaseException as error:  # noqa: BLE001  (raised in the caller's thread)
                    self.error = error
                    self._free.put(None)
            if buffer is not None:
                self._free.put(buffer)


class _Packer:
    def __init__(self, sink: _Sink, wanted: list[str], contents: Contents, mtime: int, say: Say) -> None:
        self.sink, self.wanted, self.contents, self.mtime, self.say = sink, wanted, contents, mtime, say
        self.manifests: dict[str, bytes] = {}
        self.left: set[str] = set()
        self.begun = False
        self.done = 0

    def run(self, read_into: tarstream.ReadInto) -> Contents:
        """Read the stream to its end."""
        held = 0
        try:
            for entry, payload in tarstream.entries(read_into, self.sink.spare):
                if entry.is_file and _safe(entry.name) and not self.begun:
                    held += entry.size
                    if held > MAX_MANIFESTS:
                        raise ExpectedFailure("the store's manifests are too big to be manifests")
                    self.manifests[entry.name] = b"".join(self._kept(payload))
                elif entry.is_file and entry.name.startswith("blobs/"):
                    if not self.begun:
                        self._begin()
                    self._blob(entry, payload)
                else:
                    for _ in payload:
                        self.sink.unused()
        except tarstream.TarError as error:
            raise ExpectedFailure(f"the store cannot be read: {error}") from None
        if not self.begun:
            self._begin()
        if self.left:
            missing = min(self.left)
            raise ExpectedFailure(
                f"{len(self.left)} blobs are missing in the store, {missing} among them",
                hint="a model is half removed or half pulled: pull it again, or remove it",
            )
        self.sink.small(tarstream.END)
        return self.contents

    def _kept(self, payload: Iterator[memoryview]) -> Iterator[bytes]:
        for piece in payload:
            data = bytes(piece)
            self.sink.unused()
            yield data

    def _begin(self) -> None:
        """All manifests are known: choose the models, list their files, write the manifest and them."""
        self.begun = True
        chosen = dict(self._chosen())
        for path, data in chosen.items():
            self.contents.files[path] = File(len(data), hashlib.sha256(data).hexdigest())
            self.contents.models[_model(path)] = self.contents.files[path].sha256
        for path, data in chosen.items():
            for digest, size in _layers(path, data):
                self.contents.files[f"blobs/sha256-{digest}"] = File(size, digest)
        self.left = {path for path in self.contents.files if path.startswith("blobs/")}
        self._file(MANIFEST, self.contents.to_json())
        for path, data in chosen.items():
            self._file(path, data)

    def _chosen(self) -> Iterator[tuple[str, bytes]]:
        keys = {names.key(name): name for name in self.wanted}
        found = set()
        for path, data in sorted(self.manifests.items()):
            key = names.key(_model(path))
            if not keys or key in keys:
                found.add(key)
                yield path, data
        absent = [name for key, name in keys.items() if key not in found]
        if absent:
            close = names.nearest(absent[0], [_model(path) for path in self.manifests])
            raise UsageError(f"the store has no model {absent[0]}", hint=f"did you mean {close[0]}?" if close else "")
        if not found:
            raise ExpectedFailure("the store has no models", hint="stackctl models list -i local")

    def _file(self, name: str, data: bytes) -> None:
        self.sink.small(tarstream.header(name, len(data), self.mtime) + data + tarstream.padding(len(data)))
        self.done += len(data) if name in self.contents.files else 0

    def _blob(self, entry: tarstream.Entry, payload: Iterator[memoryview]) -> None:
        file = self.contents.files.get(entry.name)
        if file is None or entry.name not in self.left:
            for _ in payload:
                self.sink.unused()
            return
        if entry.size != file.size:
            raise ExpectedFailure(
                f"{entry.name} has {entry.size:,} bytes, not {file.size:,}", hint="pull its model again"
            )
        self.left.discard(entry.name)
        self.sink.small(tarstream.header(entry.name, entry.size, self.mtime))
        digest = hashlib.sha256()
        for piece in payload:
            digest.update(piece)
            self.done += piece.nbytes
            self.sink.big(piece)
            self.say(self.done, self.contents.size)
        if digest.hexdigest() != file.sha256:
            raise ExpectedFailure(f"{entry.name} is damaged in the store", hint="remove its model and pull it again")
        self.sink.small(tarstream.padding(entry.size))


def _model(path: str) -> str:
    host, namespace, model, tag = path.split("/")[1:]
    return names.ModelName(model, tag, namespace, host).short


def _layers(path: str, data: bytes) -> Iterator[tuple[str, int]]:
    try:
        document = mapping(json.loads(data))
    except (ValueError, RecursionError):
        raise ExpectedFailure(f"the store's manifest of {_model(path)} is damaged", hint="pull it again") from None
    layers = document.get("layers")
    for layer in [document.get("config"), *(layers if isinstance(layers, list) else [])]:
        match = re.fullmatch(r"sha256[:-]([0-9a-f]{64})", str(mapping(layer).get("digest")))
        if match:
            yield match[1], number(mapping(layer).get("size"))


def peek(pieces: Iterable[Buffer]) -> Contents:
    """The manifest of a backup, from its first pieces. Raises :class:`Damaged`."""
    source = _Pieces(pieces)
    try:
        for entry, payload in tarstream.entries(source.read_into, lambda: bytearray(tarstream.CHUNK)):
            if entry.name == MANIFEST and entry.size <= MAX_MANIFESTS:
                return Contents.from_json(b"".join(bytes(piece) for piece in payload))
            break
    except tarstream.TarError as error:
        raise Damaged(f"the file is damaged: {error}") from None
    raise Damaged("this is no backup of stackctl: it does not begin with a manifest")


def unpack(pieces: Iterable[Buffer], write: Callable[[Buffer], None], *, say: Say) -> Contents:
    """Turn the pieces of a backup into a tar stream of a store, for a place where nothing counts before ``.complete``.

    The mark is written last, after every file was there, of its size and of its
    SHA-256, and the file's own end was seen. Raises :class:`Damaged`.
    """
    source = _Pieces(pieces)
    contents: Contents | None = None
    seen: set[str] = set()
    done = 0
    try:
        for entry, payload in tarstream.entries(source.read_into, lambda: bytearray(tarstream.CHUNK)):
            if contents is None:
                if entry.name != MANIFEST or entry.size > MAX_MANIFESTS:
                    raise Damaged("this is no backup of stackctl: it does not begin with a manifest")
                contents = Contents.from_json(b"".join(bytes(piece) for piece in payload))
                continue
            file = contents.files.get(entry.name)
            if file is None or entry.name in seen or entry.size != file.size or not entry.is_file:
                raise Damaged(f"the file is damaged: {plain(entry.name, 200)} is not as its manifest says")
            seen.add(entry.name)
            digest = hashlib.sha256()
            write(tarstream.header(entry.name, entry.size, 0))
            for piece in payload:
                digest.update(piece)
                write(piece)
                done += piece.nbytes
                say(done, contents.size)
            if digest.hexdigest() != file.sha256:
                raise Damaged(f"the file is damaged: {entry.name} has another SHA-256 than its manifest says")
            write(tarstream.padding(entry.size))
    except tarstream.TarError as error:
        raise Damaged(f"the file is damaged: {error}") from None
    source.finish()
    if contents is None or set(contents.files) - seen:
        raise Damaged("the file was cut: files of its manifest are missing")
    write(tarstream.header(COMPLETE, 0, 0))
    write(tarstream.END)
    return contents


class _Pieces:
    """Pieces as something to read from."""

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._pieces = iter(pieces)
        self._now = memoryview(b"")

    def read_into(self, view: memoryview) -> int:
        """Fill from the piece in hand."""
        while not self._now.nbytes:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._now = memoryview(piece)
        count = min(view.nbytes, self._now.nbytes)
        view[:count] = self._now[:count]
        self._now = self._now[count:]
        return count

    def finish(self) -> None:
        """Read to the end, where the file's check sum is; only the rest of tar's own end may come."""
        rest = b"".join(bytes(piece) for piece in (self._now, *self._pieces))
        if any(rest) or len(rest) > 2 * tarstream.BLOCK:
            raise Damaged("the file is damaged: there is more in it than its manifest says")
