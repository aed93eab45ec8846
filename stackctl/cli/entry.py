"""The entry point: answers ``--version`` without loading anything, and hands the rest to the error boundary."""

from __future__ import annotations

import gc
import os
import sys

INTERRUPTED = 130


def _open_streams() -> None:
    """Open ``/dev/null`` for each standard stream that is closed: the next file opened would get its descriptor."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            while (descriptor := os.open(os.devnull, os.O_RDWR)) < number:
                pass
            if descriptor != number:
                os.dup2(descriptor, number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def main() -> None:
    """Run stackctl and exit with the contract's code."""
    _open_streams()
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from stackctl import __version__  # noqa: PLC0415

        sys.stdout.write(f"stackctl {__version__}\n")
        return
    # The loaded modules stay for the whole run; by default Python scans all of their objects again and again.
    gc.set_threshold(50_000, 20, 20)
    try:
        from stackctl.cli.boundary import run  # noqa: PLC0415

        code = run(arguments)
    except KeyboardInterrupt:
        # Interrupted while the program was loading: no console exists yet.
        sys.stderr.write("error: interrupted\n")
        code = INTERRUPTED
    _leave(code)


def _leave(code: int) -> None:
    """Exit with this code at once, whatever signal still arrives.

    Python's own shutdown can be killed by a signal, waits for threads that ask an
    engine that hangs, and unloads all modules, a tenth of the time of a quick verb.
    """
    import signal  # noqa: PLC0415  (after the fast way out of `--version`)
    from contextlib import suppress  # noqa: PLC0415

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        sys.stdout.flush()
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)
