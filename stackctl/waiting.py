"""Waits for a condition outside of this program."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def until(
    condition: Callable[[], Answer],
    *,
    within: float,
    every: float,
    rest: float = 0.0,
    sleep: Callable[[float], object] = time.sleep,
) -> Answer:
    """Ask ``condition`` until its answer is true, and return its last answer.

    That answer is false where ``within`` seconds were not enough. It is asked at least once, with ``every``
    seconds between two times, or ``rest`` times as long as the answer took where that is longer: a question
    that is costly to ask is asked less often. ``sleep`` is another way to let the time pass, such as
    ``threading.Event.wait``, which an event ends early. What ``condition`` raises ends the waiting.
    """
    end = time.monotonic() + within
    while True:
        begun = time.monotonic()
        answer = condition()
        now = time.monotonic()
        if answer or now >= end:
            return answer
        sleep(max(every, rest * (now - begun)))
