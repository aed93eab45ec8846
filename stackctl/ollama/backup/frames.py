"""A byte stream as a Zstandard file of frames, so that damage and truncation are found.

Any ``zstd -d`` reads it. Each frame of at most 1 MiB is preceded by a skippable
frame that holds its kind and size. Data that compresses is compressed; data
that does not (quantised weights) is stored in raw blocks, at the speed of memory. The last
skippable frame holds a CRC-32 over everything but the raw bytes, which
:mod:`stackctl.ollama.backup.pack` holds against their SHA-256.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import zstandard

from stackctl.errors import ExpectedFailure

Buffer = bytes | bytearray | memoryview
CHUNK = 1 << 20
SMALL = 64 << 10
BLOCK = 128 << 10
LEVEL = 1
# Of this many chunks that did not compress, the next is tried again.
RETRY = 32
WORTH = 0.97
_NOTE, _END = 0x184D2A5D, 0x184D2A5C
_RAW, _PACKED = 0, 1
_HEAD = struct.Struct("<IIII")
_TRAILER = struct.Struct("<II4sIQ")
_ZSTD = struct.Struct("<IBI")
_MARK = 3
_MAGIC = 0xFD2FB528
_RAW_DESCRIPTOR = 0xA0  # single segment, a content size of four bytes, no checksum (RFC 8878, 3.1.1.1)
_SIGN = b"SCTL"
TRAILER_SIZE = _TRAILER.size


class Damaged(ExpectedFailure):
    """The file is no backup, is cut, or has a changed byte."""


Write = Callable[[list[Buffer]], None]
"""Writes all the pieces, in order."""


class FrameWriter:
    """Turns pieces into frames: a big piece is a frame of its own, small ones are collected into one."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)
        self._small = bytearray()
        self._crc = 0
        self._length = 0
        self._hopeless = 0

    def add(self, piece: Buffer, *, guarded: bool = False) -> None:
        """A piece of at most 1 MiB; ``guarded`` where its SHA-256 is checked elsewhere."""
        size = memoryview(piece).nbytes
        if size < SMALL or not guarded:
            self._small += piece
            if len(self._small) >= SMALL:
                self._flush()
            return
        self._flush()
        if self._hopeless:
            self._hopeless -= 1
            self._raw(memoryview(piece))
            return
        packed = self._packer.compress(piece)
        if len(packed) < size * WORTH:
            self._packed(packed)
        else:
            self._hopeless = RETRY - 1
            self._raw(memoryview(piece))

    def close(self) -> None:
        """Write what is left, and the trailer."""
        self._flush()
        self._write([_TRAILER.pack(_END, _TRAILER.size - 8, _SIGN, self._crc, self._length)])

    def _flush(self) -> None:
        while self._small:
            part = bytes(self._small[:CHUNK])
            del self._small[:CHUNK]
            self._packed(self._packer.compress(part))

    def _packed(self, frame: bytes) -> None:
        head = _HEAD.pack(_NOTE, 8, _PACKED, len(frame))
        self._count(head)
        self._count(frame)
        self._write([head, frame])

    def _raw(self, piece: memoryview) -> None:
        size = piece.nbytes
        head, guards = _HEAD.pack(_NOTE, 8, _RAW, size), _guards(size)
        self._count(head)
        self._count(guards)
        self._length += size
        pieces: list[Buffer] = [head + guards[: _ZSTD.size]]
        for number, at in enumerate(range(0, size, BLOCK)):
            mark = _ZSTD.size + _MARK * number
            pieces += [guards[mark : mark + _MARK], piece[at : at + BLOCK]]
        self._write(pieces)

    def _count(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)


ReadAt = Callable[[list[memoryview], int], int]
"""Fills views in order from a place in the file and returns how many bytes came; 0 at the end."""


@dataclass(frozen=True)
class Raw:
    """A raw frame, not read yet: in the file its bytes are split into blocks, each behind its header."""

    at: int
    nbytes: int

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Where in the file each stretch of its bytes is, and how long."""
        place = self.at + _ZSTD.size
        for done in range(0, self.nbytes, BLOCK):
            size = min(BLOCK, self.nbytes - done)
            yield place + _MARK, size
            place += _MARK + size

    def read(self, read_at: ReadAt, room: bytearray) -> memoryview:
        """Its bytes, read into the front of ``room``. Raises :class:`Damaged` where a head is not as it must be."""
        piece = memoryview(room)[: self.nbytes]
        blocks = [piece[at : at + BLOCK] for at in range(0, self.nbytes, BLOCK)]
        heads = memoryview(bytearray(_ZSTD.size + _MARK * len(blocks)))
        views = [heads[: _ZSTD.size]]
        for number, block in enumerate(blocks):
            at = _ZSTD.size + _MARK * number
            views += [heads[at : at + _MARK], block]
        _fill(read_at, views, self.at)
        if heads != _guards(self.nbytes):
            raise Damaged("the file is damaged: a frame's head is wrong")
        return piece


def read_frames(read_at: ReadAt, size: int) -> Iterator[Buffer | Raw]:
    """The pieces of a file of ``size`` bytes; raw ones are not read. Raises :class:`Damaged`."""
    unpacker = zstandard.ZstdDecompressor()
    crc = length = 0
    while length < size - TRAILER_SIZE:
        head = _exactly(read_at, _HEAD.size, length)
        magic, note, kind, stored = _HEAD.unpack(head)
        most = {_RAW: CHUNK, _PACKED: CHUNK + 4096}.get(kind, 0)
        if magic != _NOTE or note != 8 or not 0 < stored <= most:
            raise Damaged("the file is damaged: a frame's mark is wrong")
        crc, length = zlib.crc32(head, crc), length + len(head)
        if kind == _RAW:
            piece, guards = Raw(length, stored), _guards(stored)
            crc, length = zlib.crc32(guards, crc), length + len(guards) + stored
            yield piece
            continue
        frame = _exactly(read_at, stored, length)
        crc, length = zlib.crc32(frame, crc), length + stored
        try:
            yield unpacker.decompress(frame, max_output_size=CHUNK)
        except zstandard.ZstdError as error:
            raise Damaged(f"the file is damaged: {error}") from None
    trailer = _exactly(read_at, TRAILER_SIZE, length)
    end = length + TRAILER_SIZE
    if _TRAILER.unpack(trailer) != (_END, _TRAILER.size - 8, _SIGN, crc, length) or _more(read_at, end):
        raise Damaged("the file is damaged or was cut: its check sum does not fit")


@lru_cache(maxsize=64)
def _guards(size: int) -> bytes:
    """The head of a raw frame of that size and the marks of its blocks, put together."""
    marks = (min(BLOCK, size - at) << 3 | (at + BLOCK >= size) for at in range(0, size, BLOCK))
    return _ZSTD.pack(_MAGIC, _RAW_DESCRIPTOR, size) + b"".join(mark.to_bytes(_MARK, "little") for mark in marks)


def check_trailer(trailer: bytes, size: int) -> None:
    """Whether the last bytes are those of a whole backup of this size. Raises :class:`Damaged`."""
    if len(trailer) != TRAILER_SIZE or _TRAILER.unpack(trailer)[:3] != (_END, _TRAILER.size - 8, _SIGN):
        raise Damaged("this is no backup of stackctl, or it was cut")
    if _TRAILER.unpack(trailer)[4] != size - TRAILER_SIZE:
        raise Damaged("the file was cut, or something was put into it")


def _exactly(read_at: ReadAt, size: int, at: int) -> bytes:
    view = memoryview(bytearray(size))
    _fill(read_at, [view], at)
    return bytes(view)


def _more(read_at: ReadAt, at: int) -> bool:
    return bool(read_at([memoryview(bytearray(1))], at))


def _fill(read_at: ReadAt, views: list[memoryview], at: int) -> None:
    while views:
        count = read_at(views, at)
        if not count:
            raise Damaged("the file was cut")
        at += count
        while views and count >= views[0].nbytes:
            count -= views.pop(0).nbytes
        if count:
            views[0] = views[0][count:]
