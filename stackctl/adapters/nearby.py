"""This machine and its engine, for a question that is to be answered before the rest of the program is loaded.

Behind :class:`stackctl.nearby.Nearby`. Python's HTTP client alone takes as long
to load as everything in here takes to ask.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from collections.abc import Sequence
from typing import Any

from stackctl.adapters.enginesocket import socket_path
from stackctl.adapters.marks import mark
from stackctl.adapters.namespace import exchange, look
from stackctl.nearby import Answer, Get, Room

SECONDS = 5.0
LIMIT = 64 << 20
_OK = re.compile(rb"HTTP/1\.[01] 200 ")


class NearbyEngine:
    """The engine whose socket is on this machine."""

    def __init__(self) -> None:
        self._socket = socket_path(None)

    def mark(self, path: str) -> str:
        """See :func:`stackctl.adapters.marks.mark`."""
        return mark(path)

    def text(self, path: str) -> str:
        """A small file; empty where there is none."""
        try:
            # Without O_NONBLOCK, opening a named pipe would wait for somebody to write into it.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{path} is no file")
            return file.read(1 << 22)

    def get(self, path: str) -> Any:
        """The JSON that the Engine API answers."""
        if self._socket is None:
            raise OSError("the engine is not on a socket of this machine")
        with socket.socket(socket.AF_UNIX) as opened:
            opened.settimeout(SECONDS)
            opened.connect(self._socket)
            # To HTTP/1.0 the engine answers in one piece.
            raw = exchange(opened, f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode(), SECONDS, LIMIT)
        if not _OK.match(raw):
            raise OSError(f"the engine has no answer to {path}")
        return json.loads(raw.partition(b"\r\n\r\n")[2])

    def look(self, jobs: Sequence[tuple[Room, Sequence[Get]]]) -> list[list[Answer] | None]:
        """See :func:`stackctl.adapters.namespace.look`."""
        return look(jobs)
