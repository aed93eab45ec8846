"""Packs a model store into a backup: the files that its models need, each checked against its digest.

The first member is the manifest, so that a reader knows the contents from the start.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Self

from stackctl.errors import ExpectedFailure, UsageError
from stackctl.ollama import model_names
from stackctl.ollama.backup import tarstream
from stackctl.ollama.backup.contents import (
    MANIFEST,
    MAX_MANIFESTS,
    Contents,
    File,
    Say,
    is_manifest,
    layers_of,
    model_of,
)
from stackctl.ollama.backup.frames import Buffer, FrameWriter

BUFFERS = 12


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
            take = tarstream.copied(read_into, self.sink.spare)
            for entry, payload in tarstream.entries(read_into, take):
                if entry.is_file and is_manifest(entry.name) and not self.begun:
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
            self.contents.models[model_of(path)] = self.contents.files[path].sha256
        for path, data in chosen.items():
            for digest, size in layers_of(path, data):
                self.contents.files[f"blobs/sha256-{digest}"] = File(size, digest)
        self.left = {path for path in self.contents.files if path.startswith("blobs/")}
        self._file(MANIFEST, self.contents.to_json())
        for path, data in chosen.items():
            self._file(path, data)

    def _chosen(self) -> Iterator[tuple[str, bytes]]:
        keys = {model_names.key(name): name for name in self.wanted}
        found = set()
        for path, data in sorted(self.manifests.items()):
            key = model_names.key(model_of(path))
            if not keys or key in keys:
                found.add(key)
                yield path, data
        absent = [name for key, name in keys.items() if key not in found]
        if absent:
            close = model_names.nearest(absent[0], [model_of(path) for path in self.manifests])
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
