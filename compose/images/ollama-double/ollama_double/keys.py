"""The server's identity key, made at the first start: a real Ed25519 key in OpenSSH's format."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_P = 2**255 - 19
_D = -121665 * pow(121666, _P - 2, _P) % _P
_G = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)

Point = tuple[int, int, int, int]


def ensure(home: Path) -> None:
    """Make `~/.ollama/id_ed25519` and its public half where they are missing; OSError when HOME cannot be written."""
    path = home / ".ollama" / "id_ed25519"
    if path.exists():
        return
    sys.stderr.write(f"Couldn't find '{path}'. Generating new private key.\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = secrets.token_bytes(32)
    public = _public(seed)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_pem(seed, public))
    line = "ssh-ed25519 " + base64.b64encode(_blob(public)).decode()
    path.with_name(path.name + ".pub").write_text(line + "\n")
    sys.stderr.write(f"Your new public key is: \n\n{line}\n\n")


def _public(seed: bytes) -> bytes:
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = (digest[31] & 127) | 64
    scalar = int.from_bytes(digest, "little")
    x, y, z, _ = _times(scalar)
    inverse = pow(z, _P - 2, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | ((x & 1) << 255)).to_bytes(32, "little")


def _add(one: Point, two: Point) -> Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c = 2 * one[3] * two[3] * _D % _P
    d = 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int) -> Point:
    result: Point = (0, 1, 1, 0)
    power: Point = (_G[0], _G[1], 1, _G[0] * _G[1] % _P)
    while scalar:
        if scalar & 1:
            result = _add(result, power)
        power = _add(power, power)
        scalar >>= 1
    return result


def _field(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _blob(public: bytes) -> bytes:
    return _field(b"ssh-ed25519") + _field(public)


def _pem(seed: bytes, public: bytes) -> str:
    check = secrets.token_bytes(4) * 2
    private = check + _blob(public) + _field(seed + public) + _field(b"")
    private += bytes(range(1, 1 + -len(private) % 8))
    whole = b"openssh-key-v1\0" + _field(b"none") + _field(b"none") + _field(b"") + struct.pack(">I", 1)
    whole += _field(_blob(public)) + _field(private)
    text = base64.b64encode(whole).decode()
    lines = "\n".join(text[n : n + 70] for n in range(0, len(text), 70))
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{lines}\n-----END OPENSSH PRIVATE KEY-----\n"
