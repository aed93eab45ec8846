"""Frames: a byte stream as a Zstandard file that tells where it was damaged or cut.

Any ``zstd -d`` reads it. Each frame of at most 1 MiB is preceded by a skippable
frame that holds its kind and size. What compresses is compressed; what does not
(quantised weights) stands in raw blocks, at the speed of memory. The last
skippable frame holds a CRC-32 over everything but the raw bytes, which
:mod:`stackctl.ollama.backup.pack` holds against their SHA-256.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

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
_MAGIC = 0xFD2FB528
_RAW_DESCRIPTOR = 0xA0  # single segment, a content size of four bytes, no checksum (RFC 8878, 3.1.1.1)
_SIGN = b"SCTL"
TRAILER_SIZE = _TRAILER.size


class Damaged(ExpectedFailure):
    """The file is no backup, is cut, or has a changed byte."""


Write = Callable[[list[Buffer]], None]
"""Writes all the pieces, in order."""


class FrameWriter:
    """Turns pieces into frames. Big ones become a frame each, small ones are collected."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)
        self._small = bytearray()
        self._crc = 0
        self._length = 0
        self._hopeless = 0

    def add(self, piece: Buffer, *, guarded: bool = False) -> None:
        """A piece of at most 1 MiB; ``guarded`` when something else holds it against a digest."""
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
        blocks = range(0, size, BLOCK)
        head = _HEAD.pack(_NOTE, 8, _RAW, size) + _ZSTD.pack(_MAGIC, _RAW_DESCRIPTOR, size)
        self._count(head)
        pieces: list[Buffer] = [head]
        for at in blocks:
            part = piece[at : at + BLOCK]
            last = 1 if at + BLOCK >= size else 0
            mark = (part.nbytes << 3 | last).to_bytes(3, "little")
            self._count(mark)
            pieces += [mark, part]
        self._length += size
        self._write(pieces)

    def _count(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)


ReadV = Callable[[list[memoryview]], int]
"""Fills views in order and returns how many bytes came; 0 at the end."""


def read_frames(readv: ReadV, size: int) -> Iterator[Buffer]:
    """The pieces of a file of ``size`` bytes, ``readv`` standing at its start. Raises :class:`Damaged`."""
    unpacker = zstandard.ZstdDecompressor()
    crc = length = 0
    while length < size - TRAILER_SIZE:
        head = _exactly(readv, _HEAD.size)
        magic, note, kind, stored = _HEAD.unpack(head)
        if magic != _NOTE or note != 8 or kind not in (_RAW, _PACKED) or not 0 < stored <= CHUNK + 4096:
            raise Damaged("the file is damaged: a frame's mark is wrong")
        crc, length = zlib.crc32(head, crc), length + len(head)
        if kind == _RAW:
            piece, guards = _raw_frame(readv, stored)
            crc, length = zlib.crc32(guards, crc), length + len(guards) + stored
            yield piece
            continue
        frame = _exactly(readv, stored)
        crc, length = zlib.crc32(frame, crc), length + stored
        try:
            yield unpacker.decompress(frame, max_output_size=CHUNK)
        except zstandard.ZstdError as error:
            raise Damaged(f"the file is damaged: {error}") from None
    trailer = _exactly(readv, TRAILER_SIZE)
    if _TRAILER.unpack(trailer) != (_END, _TRAILER.size - 8, _SIGN, crc, length) or readv([memoryview(bytearray(1))]):
        raise Damaged("the file is damaged or was cut: its check sum does not fit")


def _raw_frame(readv: ReadV, stored: int) -> tuple[bytearray, bytes]:
    """The bytes of a raw frame, read to where they belong in one go, and the heads between them."""
    piece = bytearray(stored)
    blocks = [memoryview(piece)[at : at + BLOCK] for at in range(0, stored, BLOCK)]
    heads = memoryview(bytearray(_ZSTD.size + 3 * len(blocks)))
    views = [heads[: _ZSTD.size]]
    for number, block in enumerate(blocks):
        at = _ZSTD.size + 3 * number
        views += [heads[at : at + 3], block]
    _fill(readv, views)
    wanted = _ZSTD.pack(_MAGIC, _RAW_DESCRIPTOR, stored)
    for number, block in enumerate(blocks):
        wanted += (block.nbytes << 3 | (number + 1 == len(blocks))).to_bytes(3, "little")
    if heads != wanted:
        raise Damaged("the file is damaged: a frame's head is wrong")
    return piece, wanted


def check_trailer(trailer: bytes, size: int) -> None:
    """Whether the last bytes are those of a whole backup of this size. Raises :class:`Damaged`."""
    if len(trailer) != TRAILER_SIZE or _TRAILER.unpack(trailer)[:3] != (_END, _TRAILER.size - 8, _SIGN):
        raise Damaged("this is no backup of stackctl, or it was cut")
    if _TRAILER.unpack(trailer)[4] != size - TRAILER_SIZE:
        raise Damaged("the file was cut, or something was put into it")


def _exactly(readv: ReadV, size: int) -> bytes:
    view = memoryview(bytearray(size))
    _fill(readv, [view])
    return bytes(view)


def _fill(readv: ReadV, views: list[memoryview]) -> None:
    while views:
        count = readv(views)
        if not count:
            raise Damaged("the file was cut")
        while views and count >= views[0].nbytes:
            count -= views.pop(0).nbytes
        if count:
            views[0] = views[0][count:]
