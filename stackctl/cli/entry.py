"""The program's front door: ``--version`` without loading anything, then the one error boundary."""

from __future__ import annotations

import sys


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
        code = 130
    sys.exit(code)
