"""The program's front door: ``--version`` without loading anything, then the one error boundary."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run stackctl and exit with the contract's code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from stackctl import __version__  # noqa: PLC0415

        sys.stdout.write(f"stackctl {__version__}\n")
        return
    try:
        from stackctl.cli.boundary import run  # noqa: PLC0415

        code = run(arguments)
    except KeyboardInterrupt:
        # While the program still loads, and nothing is there yet that could say it better.
        sys.stderr.write("error: interrupted\n")
        code = INTERRUPTED
    if code == INTERRUPTED:
        # Questions to an engine that hangs may be open in other threads, and Python would wait for their ends.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
