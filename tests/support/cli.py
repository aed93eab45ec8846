"""Run stackctl: in this process where that is enough, as a process of its own where it must be one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from stackctl.cli.boundary import run

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "stackctl")
UNWANTED = (
    "COMPOSE_FILE",
    "COMPOSE_PROFILES",
    "COMPOSE_PROJECT_NAME",
    "DOCKER_CONTEXT",
    "FORCE_COLOR",
    "NO_COLOR",
    "PYTEST_CURRENT_TEST",
)
"""Variables of the person who runs the tests that would steer what is tested, and one that differs at each look."""


@dataclass(frozen=True)
class Ran:
    """What a run of stackctl left behind."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams, the results first."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)

    def ok(self) -> Ran:
        """Itself; fails with what was said where the code is not 0."""
        return self.ended(0)

    def ended(self, code: int) -> Ran:
        """Itself; fails with what was said where the code is another one."""
        assert self.code == code, f"ended with {self.code}, not {code}:\n{self.text}"
        return self


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """This process's environment without what steers Docker and stackctl; None takes a variable away."""
    found = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    for name, value in (changes or {}).items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return found


def run_here(*arguments: str | Path, env: Mapping[str, str | None] | None = None) -> Ran:
    """Run in this process, through the same front door as the program; it must not need a terminal."""
    out, err = io.StringIO(), io.StringIO()
    with (
        _signals_kept(),
        mock.patch.dict(os.environ, environment(env), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run([str(a) for a in arguments])
    return Ran(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_process(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    timeout: float = 120,
    prefix: tuple[str, ...] = (),
    stdin: str | None = None,
) -> Ran:
    """Run as a process of its own. ``prefix`` goes before the command, such as ``("setpriv", …)``."""
    done = subprocess.run(
        [*prefix, *PROGRAM, *map(str, arguments)],
        cwd=cwd,
        env=_with_package(env),
        timeout=timeout,
        capture_output=True,
        text=True,
        input=stdin,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def start_process(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str | None] | None = None
) -> subprocess.Popen[str]:
    """Start it and return at once; the caller ends it."""
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        cwd=cwd,
        env=_with_package(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _with_package(env: Mapping[str, str | None] | None) -> dict[str, str]:
    found = environment(env)
    found["PYTHONPATH"] = os.pathsep.join(p for p in (str(ROOT), found.get("PYTHONPATH", "")) if p)
    return found
