"""Restores a backup into a model store, which changes only once every file has matched its digest."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from queue import Full, Queue, SimpleQueue
from typing import Protocol, Self

from stackctl.errors import ExpectedFailure
from stackctl.ollama.backup import tarstream
from stackctl.ollama.backup.contents import (
    COMPLETE,
    MANIFEST,
    MAX_MANIFESTS,
    Contents,
    File,
    Say,
    is_manifest,
    layers_of,
    model_of,
)
from stackctl.ollama.backup.frames import CHUNK, Buffer, Damaged, Raw, ReadAt, read_frames
from stackctl.ollama.text import plain

AHEAD = 8
# More than any pipe holds: once this much was written behind spliced pages, they have left the pipe.
TAIL = 4 << 20

Piece = memoryview | Raw


class Source(Protocol):
    """A backup, open."""

    @property
    def size(self) -> int:
        """Its bytes."""

    @property
    def handle(self) -> int:
        """Its descriptor, for :meth:`Sink.move`."""

    def read_at(self, views: list[memoryview], at: int) -> int:
        """Fill views in order from a place in the file; 0 at its end."""

    def unchanged(self) -> bool:
        """Whether nobody has written to it since it was opened."""


class Sink(Protocol):
    """Where a tar stream goes."""

    def write(self, data: Buffer) -> None:
        """Write all of it."""

    def move(self, handle: int, at: int, count: int) -> int:
        """Write bytes of an open file, which need not be copied on the way; how many, 0 at the file's end."""


def peek(source: Source) -> Contents:
    """What a backup holds, from its first pieces. Raises :class:`Damaged`.

    Its list is held against the manifests of its models, which follow it: it names
    their blobs, each of them and no other.
    """
    pieces = _Pieces(read_frames(source.read_at, source.size))
    contents: Contents | None = None
    left: set[str] = set()
    blobs: set[str] = set()
    try:
        for entry, payload in tarstream.entries(pieces.read_into, pieces.take):
            if contents is None:
                contents = _manifest(entry, payload)
                left = {path for path in contents.files if is_manifest(path)}
                if sum(contents.files[path].size for path in left) > MAX_MANIFESTS:
                    raise Damaged("the file is damaged: its manifests are too big to be manifests")
            else:
                _expected(entry, contents, left)
                left.remove(entry.name)
                blobs |= _blobs(entry.name, b"".join(_plain(piece) for piece in payload))
            if not left:
                break
    except tarstream.TarError as error:
        raise Damaged(f"the file is damaged: {error}") from None
    if contents is None or left:
        raise Damaged("the file was cut: files of its manifest are missing")
    if blobs != {path for path in contents.files if not is_manifest(path)}:
        raise Damaged("the file is damaged: its list of files is not what its models need")
    return contents


def _blobs(path: str, data: bytes) -> set[str]:
    try:
        return {f"blobs/sha256-{digest}" for digest, _ in layers_of(path, data)}
    except ExpectedFailure:
        raise Damaged(f"the file is damaged: the manifest of {model_of(path)} cannot be read") from None


def _expected(entry: tarstream.Entry, contents: Contents, left: set[str]) -> File:
    """The list's word on a member that comes next; raises :class:`Damaged` where it has another."""
    file = contents.files.get(entry.name)
    if file is None or entry.name not in left or entry.size != file.size or not entry.is_file:
        raise Damaged(f"the file is damaged: {plain(entry.name, 200)} is not as its manifest says")
    return file


def unpack(source: Source, sink: Sink, *, say: Say) -> Contents:
    """Turn a backup into a tar stream of a store, for a place where nothing counts before ``.complete``.

    The mark is written last, after every file was there, of its size and of its
    SHA-256, and the file's own end was seen. Raises :class:`Damaged`.

    Raw frames go from the file to the stream by themselves, and are read beside
    that to be held against their digests. Both are the same bytes as long as
    nobody writes to the file.
    """
    contents = peek(source)
    pieces = _Pieces(ahead(read_frames(source.read_at, source.size)))
    left = set(contents.files)
    listed = False
    done = 0
    with _Checker(source.read_at) as checker:
        try:
            for entry, payload in tarstream.entries(pieces.read_into, pieces.take):
                if not listed:
                    listed = _manifest(entry, payload) == contents
                    continue
                file = _expected(entry, contents, left)
                left.remove(entry.name)
                sink.write(tarstream.header(entry.name, entry.size, 0))
                for piece in payload:
                    _pass(piece, source, sink, checker)
                    done += piece.nbytes
                    say(done, contents.size)
                checker.expect(entry.name, file.sha256)
                sink.write(tarstream.padding(entry.size))
        except tarstream.TarError as error:
            raise Damaged(f"the file is damaged: {error}") from None
        pieces.finish()
    if left:
        raise Damaged("the file was cut: files of its manifest are missing")
    if not source.unchanged():
        raise Damaged("the file was written to while it was read")
    sink.write(tarstream.header(COMPLETE, 0, 0))
    sink.write(tarstream.END)
    return contents


def _pass(piece: Piece, source: Source, sink: Sink, checker: _Checker) -> None:
    if isinstance(piece, Raw):
        if piece.at + TAIL < source.size:
            checker.add(piece)
            _move(piece, source, sink)
            return
        piece = piece.read(source.read_at, bytearray(piece.nbytes))
    checker.add(piece)
    sink.write(piece)


def _move(piece: Raw, source: Source, sink: Sink) -> None:
    for place, size in piece.blocks():
        at, end = place, place + size
        while at < end:
            count = sink.move(source.handle, at, end - at)
            if not count:
                raise Damaged("the file was cut")
            at += count


def _manifest(entry: tarstream.Entry, payload: Iterator[Piece]) -> Contents:
    if entry.name != MANIFEST or entry.size > MAX_MANIFESTS:
        raise Damaged("this is no backup of stackctl: it does not begin with a manifest")
    return Contents.from_json(b"".join(_plain(piece) for piece in payload))


def _plain(piece: Piece) -> bytes:
    if isinstance(piece, Raw):
        raise Damaged("the file is damaged: a raw frame where no weights are")
    return bytes(piece)


class _Checker:
    """Holds what passes by against its digests, in a thread of its own; raises at the latest at its end."""

    def __init__(self, read_at: ReadAt) -> None:
        self._read_at = read_at
        self._todo: SimpleQueue[Piece | tuple[str, str] | None] = SimpleQueue()
        # Pieces that are in memory wait here in small numbers; those that still lie in the file may be many.
        self._places = threading.Semaphore(AHEAD)
        self._wrong: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="check")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is not None:
            self._wrong = self._wrong or Damaged("given up")
        self._todo.put(None)
        self._thread.join()
        if kind is None:
            self._judge()

    def add(self, piece: Piece) -> None:
        """A piece of the file in hand."""
        if isinstance(piece, memoryview):
            self._places.acquire()
        self._todo.put(piece)

    def expect(self, name: str, sha256: str) -> None:
        """The file is whole, and this is to be its digest."""
        self._todo.put((name, sha256))
        self._judge()

    def _judge(self) -> None:
        if self._wrong is not None:
            raise self._wrong

    def _run(self) -> None:
        digest, room = hashlib.sha256(), bytearray(CHUNK)
        while (item := self._todo.get()) is not None:
            try:
                digest = self._check(item, digest, room)
            except BaseException as error:  # noqa: BLE001  (raised in the caller's thread)
                self._wrong = self._wrong or error
            if isinstance(item, memoryview):
                self._places.release()

    def _check(self, item: Piece | tuple[str, str], digest: hashlib._Hash, room: bytearray) -> hashlib._Hash:
        if self._wrong is not None:
            return digest
        if not isinstance(item, tuple):
            digest.update(item.read(self._read_at, room) if isinstance(item, Raw) else item)
            return digest
        name, wanted = item
        if digest.hexdigest() != wanted:
            raise Damaged(f"the file is damaged: {name} has another SHA-256 than its manifest says")
        return hashlib.sha256()


def ahead(pieces: Iterable[Buffer | Raw]) -> Iterator[Buffer | Raw]:
    """The same pieces, read in a thread of their own, so that reading and checking share two cores."""
    ready: Queue[Buffer | Raw | BaseException | None] = Queue(AHEAD)
    stop = threading.Event()

    def offer(item: Buffer | Raw | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
            except Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for piece in pieces:
                if not offer(piece):
                    return
            offer(None)
        except BaseException as error:  # noqa: BLE001  (raised in the caller's thread)
            offer(error)

    thread = threading.Thread(target=read, daemon=True, name="read ahead")
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


class _Pieces:
    """Pieces as something to read from. A raw frame is given whole, and only as part of a payload."""

    def __init__(self, pieces: Iterable[Buffer | Raw]) -> None:
        self._pieces = iter(pieces)
        self._now: Piece = memoryview(b"")

    def _next(self) -> Piece:
        while isinstance(self._now, memoryview) and not self._now.nbytes:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._now = _lying(piece)
        return self._now

    def take(self, count: int) -> Piece:
        """Up to that many bytes of the piece in hand, as they lie."""
        piece = self._next()
        if isinstance(piece, Raw):
            if piece.nbytes > count:
                raise Damaged("the file is damaged: a raw frame where no weights are")
            self._now = memoryview(b"")
            return piece
        taken, self._now = piece[:count], piece[count:]
        return taken

    def read_into(self, view: memoryview) -> int:
        """Fill from the piece in hand."""
        taken = self.take(view.nbytes)
        if isinstance(taken, Raw):
            raise Damaged("the file is damaged: a raw frame where no weights are")
        view[: taken.nbytes] = taken
        return taken.nbytes

    def finish(self) -> None:
        """Read to the end, where the file's check sum is; only the rest of tar's own end may come."""
        rest = b"".join(_plain(piece) for piece in (self._now, *map(_lying, self._pieces)))
        if any(rest) or len(rest) > 2 * tarstream.BLOCK:
            raise Damaged("the file is damaged: there is more in it than its manifest says")


def _lying(piece: Buffer | Raw) -> Piece:
    return piece if isinstance(piece, Raw) else memoryview(piece)
