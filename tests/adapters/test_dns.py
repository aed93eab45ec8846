"""The one question to a name server: its packet, and answers of every shape."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from stackctl.adapters import dns

QUESTION = dns.query("ollama.lan", 7)


def answer(*records: bytes, number: int = 7, flags: int = 0x8180) -> bytes:
    return struct.pack(">HHHHHH", number, flags, 1, len(records), 0, 0) + QUESTION[12:] + b"".join(records)


def record(kind: int, data: bytes, name: bytes = b"\xc0\x0c") -> bytes:
    return name + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


A = record(1, bytes([10, 0, 0, 5]))
ALIAS = record(5, b"\x03box\xc0\x13")


def test_the_question() -> None:
    assert QUESTION == b"\0\7\1\0\0\1\0\0\0\0\0\0\6ollama\3lan\0\0\1\0\1"


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64])
def test_a_name_without_a_place_in_a_packet(name: str) -> None:
    with pytest.raises(OSError, match="is no name"):
        dns.query(name, 1)


@pytest.mark.parametrize(
    ("packet", "found"),
    [
        (answer(A), ("10.0.0.5",)),
        (answer(ALIAS, A, record(1, bytes([10, 0, 0, 6]), b"\3box\3lan\0")), ("10.0.0.5", "10.0.0.6")),
        (answer(record(28, bytes(16)), A), ("10.0.0.5",)),
        (answer(), ()),
        (answer(A, number=8), ()),
        (answer(flags=0x8183), ()),
    ],
    ids=["one", "behind an alias, names in full", "IPv6 is passed over", "none", "of another question", "no such name"],
)
def test_answers(packet: bytes, found: tuple[str, ...]) -> None:
    assert dns.answers(packet, 7) == found


@pytest.mark.parametrize("length", range(len(answer(ALIAS, A))))
def test_an_answer_that_is_cut_short_is_no_address(length: int) -> None:
    with pytest.raises(OSError, match=r"cut short|wrong length"):
        dns.answers(answer(ALIAS, A)[:length], 7)


def test_over_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(dns, "PORT", server.getsockname()[1])

        def serve() -> None:
            asked, who = server.recvfrom(512)
            server.sendto(answer(A, number=int.from_bytes(asked[:2], "big")), who)

        thread = threading.Thread(target=serve)
        thread.start()
        assert dns.addresses("ollama.lan", "127.0.0.1", 5.0) == ("10.0.0.5",)
        thread.join()
        with pytest.raises(TimeoutError):
            dns.addresses("ollama.lan", "127.0.0.1", 0.05)
