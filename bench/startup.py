"""Start-up: what stackctl costs before it does anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, ratio, timed

STACKCTL = str(Path(sys.executable).with_name("stackctl"))


def run() -> Iterator[Figure]:
    """``--version`` and ``--help`` against a bare ``import typer``."""

    def typer() -> float:
        return timed([sys.executable, "-c", "import typer"])

    yield ratio("stackctl --version / python -c 'import typer'", lambda: timed([STACKCTL, "--version"]), typer, 1.5)
    yield ratio("stackctl --help / python -c 'import typer'", lambda: timed([STACKCTL, "--help"]), typer, 2.0)
