"""Figures with their bars, and runs in pairs: on a shared machine only ratios of one run mean anything."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured value. ``bar`` is the most that it may be, None for one that is only told."""

    what: str
    value: float
    bar: float | None
    unit: str = "x"
    detail: str = ""

    @property
    def met(self) -> bool:
        return self.bar is None or self.value <= self.bar

    def __str__(self) -> str:
        bar = "" if self.bar is None else f"bar {self.bar:g} {self.unit}"
        sign = " " if self.bar is None else "✓" if self.met else "✗"
        return f"{sign} {self.what:<58} {self.value:7.2f} {self.unit:<2} {bar:<12} {self.detail}"


def timed(argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> float:
    """Wall seconds of one run; a run that fails is an error, with what it said."""
    begun = time.perf_counter()
    done = subprocess.run(argv, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, check=False)
    took = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(
            f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr.decode()}{done.stdout.decode()}"
        )
    return took


def ratio(
    what: str, ours: Callable[[], float], theirs: Callable[[], float], bar: float | None, *, runs: int = 9
) -> Figure:
    """The median of the ratios of runs that follow each other closely, after one of each that does not count."""
    ours()
    theirs()
    pairs = [(ours(), theirs()) for _ in range(runs)]
    value = statistics.median(a / b for a, b in pairs)
    a, b = (statistics.median(x) for x in zip(*pairs, strict=True))
    return Figure(what, value, bar, "x", f"{a * 1000:.0f} ms against {b * 1000:.0f} ms")
