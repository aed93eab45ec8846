"""A certificate's names and dates from its DER form (RFC 5280), to say why it is refused; nothing is trusted by it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_COMMON_NAME, _ORGANISATION = "2.5.4.3", "2.5.4.10"
_SUBJECT_ALT_NAME = "2.5.29.17"


@dataclass(frozen=True)
class Certificate:
    """``subject`` and ``issuer`` for people, ``names`` what it is valid for; raw names tell issuer from issuer."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime | None
    not_after: datetime | None
    subject_raw: bytes
    issuer_raw: bytes

    @property
    def self_issued(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.subject_raw == self.issuer_raw


def read(der: bytes) -> Certificate | None:
    """Read one certificate; None for anything that is none."""
    try:
        return _read(der)
    except (ValueError, IndexError, StopIteration, UnicodeDecodeError, OverflowError):
        return None


def _read(der: bytes) -> Certificate:
    certificate = _children(next(_items(der))[2])
    fields = list(_items(next(iter(certificate))[2]))
    if fields[0][0] == 0xA0:
        fields = fields[1:]
    issuer, validity, subject = fields[2], list(_items(fields[3][2])), fields[4]
    names: tuple[str, ...] = ()
    for tag, _, body in fields[6:]:
        if tag == 0xA3:
            names = tuple(_alt_names(body))
    return Certificate(
        _name(subject[2]),
        _name(issuer[2]),
        names,
        _time(*validity[0][::2]),
        _time(*validity[1][::2]),
        subject[1],
        issuer[1],
    )


def _items(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, whole encoding, contents of each element."""
    at = 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:
                raise ValueError("length")
            length = int.from_bytes(data[start : start + count], "big")
            start += count
        if start + length > len(data):
            raise ValueError("beyond the end")
        yield tag, data[at : start + length], data[start : start + length]
        at = start + length


def _children(data: bytes) -> list[tuple[int, bytes, bytes]]:
    return list(_items(data))


def _oid(body: bytes) -> str:
    numbers = [body[0] // 40, body[0] % 40]
    value = 0
    for byte in body[1:]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    return ".".join(map(str, numbers))


def _name(data: bytes) -> str:
    found = {}
    for _, _, group in _items(data):
        for _, _, pair in _items(group):
            (_, _, kind), (_, _, value) = list(_items(pair))[:2]
            found[_oid(kind)] = value.decode("utf-8", "replace")
    return found.get(_COMMON_NAME) or found.get(_ORGANISATION) or "(no name)"


def _alt_names(data: bytes) -> Iterator[str]:
    for _, _, extension in _items(next(_items(data))[2]):
        parts = list(_items(extension))
        if _oid(parts[0][2]) != _SUBJECT_ALT_NAME:
            continue
        for tag, _, body in _items(next(_items(parts[-1][2]))[2]):
            if tag == 0x82:
                yield body.decode("ascii", "replace")
            elif tag == 0x87:
                yield str(ipaddress.ip_address(body))


def _time(tag: int, body: bytes) -> datetime | None:
    text = body.decode("ascii")
    form = "%y%m%d%H%M%SZ" if tag == 0x17 else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text, form).replace(tzinfo=UTC)
