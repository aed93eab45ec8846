"""A backup back to a model store: nothing counts before every file was held against its digest."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Full, Queue
from typing import Self

from stackctl.ollama.backup import tarstream
from stackctl.ollama.backup.contents import COMPLETE, MANIFEST, MAX_MANIFESTS, Contents, Say
from stackctl.ollama.backup.frames import Buffer, Damaged
from stackctl.ollama.text import plain

AHEAD = 8


def peek(pieces: Iterable[Buffer]) -> Contents:
    """The manifest of a backup, from its first pieces. Raises :class:`Damaged`."""
    source = _Pieces(pieces)
    try:
        for entry, payload in tarstream.entries(source.read_into, bytearray, source.take):
            return _manifest(entry, payload)
    except tarstream.TarError as error:
        raise Damaged(f"the file is damaged: {error}") from None
    raise Damaged("the file is empty")


def unpack(pieces: Iterable[Buffer], write: Callable[[Buffer], None], *, say: Say) -> Contents:
    """Turn the pieces of a backup into a tar stream of a store, for a place where nothing counts before ``.complete``.

    The mark is written last, after every file was there, of its size and of its
    SHA-256, and the file's own end was seen. Raises :class:`Damaged`.
    """
    source = _Pieces(ahead(pieces))
    contents: Contents | None = None
    seen: set[str] = set()
    done = 0
    with _Checker() as checker:
        try:
            for entry, payload in tarstream.entries(source.read_into, bytearray, source.take):
                if contents is None:
                    contents = _manifest(entry, payload)
                    continue
                file = contents.files.get(entry.name)
                if file is None or entry.name in seen or entry.size != file.size or not entry.is_file:
                    raise Damaged(f"the file is damaged: {plain(entry.name, 200)} is not as its manifest says")
                seen.add(entry.name)
                write(tarstream.header(entry.name, entry.size, 0))
                for piece in payload:
                    checker.add(piece)
                    write(piece)
                    done += piece.nbytes
                    say(done, contents.size)
                checker.expect(entry.name, file.sha256)
                write(tarstream.padding(entry.size))
        except tarstream.TarError as error:
            raise Damaged(f"the file is damaged: {error}") from None
        source.finish()
    if contents is None or set(contents.files) - seen:
        raise Damaged("the file was cut: files of its manifest are missing")
    write(tarstream.header(COMPLETE, 0, 0))
    write(tarstream.END)
    return contents


def _manifest(entry: tarstream.Entry, payload: Iterator[memoryview]) -> Contents:
    if entry.name != MANIFEST or entry.size > MAX_MANIFESTS:
        raise Damaged("this is no backup of stackctl: it does not begin with a manifest")
    return Contents.from_json(b"".join(bytes(piece) for piece in payload))


class _Checker:
    """Holds what passes by against its digests, in a thread of its own; raises at the latest at its end."""

    def __init__(self) -> None:
        self._todo: Queue[memoryview | tuple[str, str] | None] = Queue(AHEAD)
        self._wrong = ""
        self._thread = threading.Thread(target=self._run, daemon=True, name="check")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        self._todo.put(None)
        self._thread.join()
        if kind is None:
            self._judge()

    def add(self, piece: memoryview) -> None:
        """A piece of the file in hand."""
        self._todo.put(piece)

    def expect(self, name: str, sha256: str) -> None:
        """The file is whole, and this is to be its digest."""
        self._todo.put((name, sha256))
        self._judge()

    def _judge(self) -> None:
        if self._wrong:
            raise Damaged(f"the file is damaged: {self._wrong} has another SHA-256 than its manifest says")

    def _run(self) -> None:
        digest = hashlib.sha256()
        while (item := self._todo.get()) is not None:
            if isinstance(item, memoryview):
                digest.update(item)
                continue
            name, wanted = item
            if digest.hexdigest() != wanted and not self._wrong:
                self._wrong = name
            digest = hashlib.sha256()


def ahead(pieces: Iterable[Buffer]) -> Iterator[Buffer]:
    """The same pieces, read in a thread of their own, so that reading and checking share two cores."""
    ready: Queue[Buffer | BaseException | None] = Queue(AHEAD)
    stop = threading.Event()

    def offer(item: Buffer | BaseException | None) -> bool:
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
    """Pieces as something to read from."""

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._pieces = iter(pieces)
        self._now = memoryview(b"")

    def take(self, count: int) -> memoryview:
        """Up to that many bytes of the piece in hand, as they lie."""
        while not self._now.nbytes:
            piece = next(self._pieces, None)
            if piece is None:
                return self._now
            self._now = memoryview(piece)
        taken, self._now = self._now[:count], self._now[count:]
        return taken

    def read_into(self, view: memoryview) -> int:
        """Fill from the piece in hand."""
        taken = self.take(view.nbytes)
        view[: taken.nbytes] = taken
        return taken.nbytes

    def finish(self) -> None:
        """Read to the end, where the file's check sum is; only the rest of tar's own end may come."""
        rest = b"".join(bytes(piece) for piece in (self._now, *self._pieces))
        if any(rest) or len(rest) > 2 * tarstream.BLOCK:
            raise Damaged("the file is damaged: there is more in it than its manifest says")
