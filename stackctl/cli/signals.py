"""Signals: while a command works they interrupt it, so that it undoes its work; afterwards they end the process."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def listen() -> list[int]:
    """Let SIGTERM and SIGHUP interrupt the command as Ctrl-C does; returns the list of signals received from now on.

    A signal that is ignored stays ignored: SIGHUP under ``nohup``, SIGINT in the background of a script.
    """
    received: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        received.append(number)
        if process := sys.modules.get("stackctl.adapters.process"):  # else it has started nothing yet
            process.interrupt_threads()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    return received


def exit_on_signal(code: int) -> None:
    """From now on a signal ends the process with this code: the command is done, only its output may be cut short."""
    with suppress(ValueError):  # outside the main thread, where no signal arrives
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda _number, _frame: os._exit(code))
