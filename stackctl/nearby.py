"""What a look at this machine asks and gets; apart from :mod:`stackctl.ports`, which takes longer to load than to use.

Nothing in here does anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

SEAL, LOCK = "seal.json", "lock"
"""Files in ``.stackctl/``: without the one there is nothing to ask, and the other is empty while nobody holds it."""


class Room(NamedTuple):
    """Where to stand: the engine's handle of a network namespace, and the container's hosts and resolver files."""

    sandbox: str
    hosts: str
    resolver: str


class Get(NamedTuple):
    """One GET over http; ``host`` without brackets."""

    host: str
    port: int
    path: str


class Answer(NamedTuple):
    """The bytes that came, and after how many milliseconds."""

    raw: bytes
    ms: float


class Nearby(Protocol):
    """This machine and the engine on it, read only. Whatever cannot be had raises ``OSError``."""

    def mark(self, path: str) -> str:
        """See :meth:`stackctl.ports.Files.mark`."""

    def text(self, path: str) -> str:
        """A small file; empty where there is none."""

    def get(self, path: str) -> Any:
        """The JSON that the Engine API answers."""

    def look(self, jobs: Sequence[tuple[Room, Sequence[Get]]]) -> list[list[Answer] | None]:
        """The answers to each room's questions, all rooms at once; None where one of them has none."""
