"""GGUF files: writing a header with metadata, and reading it back. No weights are interpreted."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"GGUF"
_F32 = 0
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TENSOR_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 8: "Q8_0", 12: "Q4_K", 14: "Q6_K", 24: "I8", 30: "BF16"}
_MAX_ITEMS = 1 << 20


class NotGGUFError(ValueError):
    """The bytes are no GGUF file."""


@dataclass
class Header:
    """What a GGUF file says of itself."""

    values: dict[str, Any] = field(default_factory=dict)
    tensors: list[dict[str, Any]] = field(default_factory=list)


def write_header(values: dict[str, Any], tensor_bytes: int) -> bytes:
    """Return a version 3 header with `values` and one F32 tensor of `tensor_bytes` bytes."""
    out = bytearray(MAGIC + struct.pack("<IQQ", 3, 1, len(values)))
    for key, value in values.items():
        out += _string(key) + _value(value)
    out += _string("token_embd.weight") + struct.pack("<IQIQ", 1, tensor_bytes // 4, _F32, 0)
    out += bytes(-len(out) % 32)
    return bytes(out)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value) if value < 1 << 32 else struct.pack("<IQ", 10, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, list):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(_string(str(item)) for item in value)
    return struct.pack("<I", 8) + _string(str(value))


def read_header(path: Path) -> Header:
    """Read the metadata of `path`; NotGGUFError when it is something else."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotGGUFError("invalid file magic")
        try:
            version, tensors, pairs = struct.unpack("<IQQ", file.read(20))
            if version not in {2, 3} or max(tensors, pairs) > _MAX_ITEMS:
                raise NotGGUFError("unsupported gguf version")
            header = Header()
            for _ in range(pairs):
                key = _read_string(file)
                header.values[key] = _read_value(file, *struct.unpack("<I", file.read(4)))
            for _ in range(tensors):
                header.tensors.append(_read_tensor(file))
        except (struct.error, UnicodeDecodeError, KeyError, MemoryError) as error:
            raise NotGGUFError("unexpected EOF") from error
    return header


def _read_string(file: BinaryIO) -> str:
    (size,) = struct.unpack("<Q", file.read(8))
    if size > _MAX_ITEMS:
        raise NotGGUFError("unexpected EOF")
    return file.read(size).decode()


def _read_value(file: BinaryIO, kind: int) -> Any:
    if kind == 8:
        return _read_string(file)
    if kind == 9:
        inner, count = struct.unpack("<IQ", file.read(12))
        if count > _MAX_ITEMS:
            raise NotGGUFError("unexpected EOF")
        return [_read_value(file, inner) for _ in range(count)]
    form = _SCALARS[kind]
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _read_tensor(file: BinaryIO) -> dict[str, Any]:
    name = _read_string(file)
    (dimensions,) = struct.unpack("<I", file.read(4))
    if dimensions > 8:
        raise NotGGUFError("unexpected EOF")
    shape = list(struct.unpack(f"<{dimensions}Q", file.read(8 * dimensions)))
    kind, _ = struct.unpack("<IQ", file.read(12))
    return {"name": name, "type": _TENSOR_TYPES.get(kind, "unknown"), "shape": shape}
