"""What a signal does to a run: it undoes what had begun, until the outcome is decided."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


def listen() -> list[int]:
    """From now on SIGTERM and SIGHUP undo what had begun just as Ctrl-C does; the list is of those that have come.

    What is ignored stays so: SIGHUP under ``nohup``, SIGINT in the background of a script.
    """
    come: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        come.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    return come


def decided(code: int) -> None:
    """What was to be done is done: a signal from now on cuts the telling of it short, and the code stays."""
    with suppress(ValueError):  # outside the main thread, where no signal arrives
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda _number, _frame: os._exit(code))
