"""A look from inside a container's network, without a process in the container.

Root on the engine's own machine may enter the network namespace with one of its
threads; names are then looked up as the container would: its hosts file, then its
name server. That is where a probe container stands too (``docker run --network
container:ID``), without the tenth of a second that a container takes to start.

Only what is plain is tried: GET over http. Whoever asks has another way for all
else, so nothing here waits long, and a failure is not explained.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import threading
import time
from collections.abc import Sequence

from stackctl.adapters import dns
from stackctl.nearby import Answer, Get, Room

CLONE_NEWNET = 0x40000000
STEP = 1.0
"""Seconds for a name, and for a connection."""
ANSWER = 2.0
"""Seconds for an answer."""
LIMIT = 1 << 20
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,12})", re.IGNORECASE)


def look(jobs: Sequence[tuple[Room, Sequence[Get]]]) -> list[list[Answer] | None]:
    """The answers to each room's questions, all rooms at once; None where one of them has none."""
    found: list[list[Answer] | None] = [None for _ in jobs]

    def one(index: int, room: Room, questions: Sequence[Get]) -> None:
        try:
            # This thread ends in there; no other one has moved.
            _enter(room.sandbox)
            found[index] = [_answer(question, room) for question in questions]
        except (OSError, ValueError):  # an answer of nobody, a resolver file of nobody's hand
            return

    threads = [threading.Thread(target=one, args=(i, *job), daemon=True) for i, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _enter(sandbox: str) -> None:
    handle = os.open(sandbox, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Python has a name for it from 3.12 on only.
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "this network namespace cannot be entered")
    finally:
        os.close(handle)


def _answer(question: Get, room: Room) -> Answer:
    begun = time.monotonic()
    with _connected(question, room) as opened:
        host = f"[{question.host}]" if ":" in question.host else question.host
        head = [
            f"GET {question.path} HTTP/1.1",
            f"Host: {host}:{question.port}",
            "User-Agent: stackctl-probe",
            "Accept: application/json, */*",
            "Connection: close",
        ]
        raw = exchange(opened, "\r\n".join([*head, "", ""]).encode(), ANSWER, LIMIT)
    return Answer(raw, (time.monotonic() - begun) * 1000)


def _connected(question: Get, room: Room) -> socket.socket:
    """A connection to the first address that takes one; raises ``OSError``."""
    failure = OSError(f"{question.host} has no address")
    for address in _addresses(question.host, room):
        opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        opened.settimeout(STEP)
        try:
            opened.connect((address, question.port))
        except OSError as error:
            opened.close()
            failure = error
        else:
            return opened
    raise failure


def _addresses(host: str, room: Room) -> tuple[str, ...]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return (host,)
    return _in_hosts(host, _text(room.hosts)) or _in_dns(host, _text(room.resolver))


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(1 << 20)


def _in_hosts(host: str, text: str) -> tuple[str, ...]:
    wanted = host.lower().rstrip(".")
    rows = (line.partition("#")[0].split() for line in text.splitlines())
    found = [row[0] for row in rows if wanted in (name.lower() for name in row[1:])]
    return tuple(sorted(dict.fromkeys(found), key=lambda address: ":" in address))


def _in_dns(host: str, text: str) -> tuple[str, ...]:
    rows = [line.split() for line in text.splitlines()]
    servers = [row[1] for row in rows if row[:1] == ["nameserver"] and len(row) > 1]
    dots = [o.removeprefix("ndots:") for row in rows if row[:1] == ["options"] for o in row if o.startswith("ndots:")]
    searched = any(row[:1] in (["search"], ["domain"]) and len(row) > 1 for row in rows)
    if searched and not host.endswith(".") and host.count(".") < int(dots[-1] if dots else 1):
        return ()  # tried with a suffix first, in an order that libraries do not agree on
    return dns.addresses(host, servers[0], STEP) if servers else ()


def exchange(opened: socket.socket, request: bytes, seconds: float, limit: int) -> bytes:
    """Send a request that asks for its connection to be closed; the answer. Raises ``OSError``."""
    end = time.monotonic() + seconds
    raw = bytearray()
    opened.settimeout(seconds)
    opened.sendall(request)
    while len(raw) < limit and not _whole(raw):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        opened.settimeout(left)
        chunk = opened.recv(min(65536, limit - len(raw)))
        if not chunk:
            break
        raw += chunk
    return bytes(raw)


def _whole(raw: bytearray) -> bool:
    """Whether the answer is all there: not every server hangs up when it is asked to."""
    head, blank, body = raw.partition(b"\r\n\r\n")
    if not blank:
        return False
    if length := _LENGTH.search(head):
        return len(body) >= int(length[1])
    return b"chunked" in head.lower() and body.endswith(b"0\r\n\r\n")
