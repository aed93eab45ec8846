"""One question to one name server, over UDP: the addresses of a name (RFC 1035).

Only for where the system's resolver would ask the wrong servers: it reads this
machine's ``resolv.conf``, not that of the container whose network is looked from.
"""

from __future__ import annotations

import os
import socket
import struct

PORT = 53
TYPE_A, CLASS_IN = 1, 1
_HEADER = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")
_POINTER = 0xC0
_WANTS_RECURSION = 0x0100
_CODE = 0x000F


def addresses(name: str, server: str, timeout: float) -> tuple[str, ...]:
    """IPv4 addresses of ``name``; empty where the server knows none. Raises ``OSError`` where it does not answer."""
    number = int.from_bytes(os.urandom(2), "big")
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as question:
        question.settimeout(timeout)
        question.connect((server, PORT))
        question.send(query(name, number))
        return answers(question.recv(4096), number)


def query(name: str, number: int) -> bytes:
    """The packet that asks for A records. Raises ``OSError`` for a name that has no place in one."""
    labels = [label.encode("ascii", "replace") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise OSError(f"{name} is no name for a name server")
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return _HEADER.pack(number, _WANTS_RECURSION, 1, 0, 0, 0) + question + struct.pack(">HH", TYPE_A, CLASS_IN)


def answers(packet: bytes, number: int) -> tuple[str, ...]:
    """The A records of an answer. Raises ``OSError`` for one that is cut short or answers something else."""
    try:
        got, flags, questions, count, _, _ = _HEADER.unpack_from(packet)
        if got != number or flags & _CODE:
            return ()
        position = _HEADER.size
        for _ in range(questions):
            position = _after_name(packet, position) + 4
        found = []
        for _ in range(count):
            position = _after_name(packet, position)
            kind, group, _, length = _RECORD.unpack_from(packet, position)
            position += _RECORD.size
            if (kind, group, length) == (TYPE_A, CLASS_IN, 4):
                found.append(socket.inet_ntoa(packet[position : position + 4]))
            position += length
    except (struct.error, IndexError) as error:
        raise OSError("the name server's answer is cut short") from error
    return tuple(found)


def _after_name(packet: bytes, position: int) -> int:
    while length := packet[position]:
        if length >= _POINTER:
            return position + 2
        position += length + 1
    return position + 1
