"""Answers that do not change while a program runs: asked once, whichever thread asks first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

S = TypeVar("S", bound="Remembering")
T = TypeVar("T")


class Remembering:
    """What has methods that are asked :func:`once`."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}
        self._known: dict[str, Any] = {}

    def recall(self, name: str, ask: Callable[[], T]) -> T:
        """The answer known under ``name``, or that of ``ask``; a second thread waits for the first."""
        with self._asking:
            lock = self._locks.setdefault(name, threading.RLock())
        with lock:
            if name not in self._known:
                self._known[name] = ask()
            answer: T = self._known[name]
            return answer


def once(method: Callable[[S], T]) -> Callable[[S], T]:
    """Ask the first time and remember the answer; a failure is not remembered."""
    return lambda self: self.recall(method.__name__, lambda: method(self))
