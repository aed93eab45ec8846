"""stackctl run again and again in one process, so that its imports are paid once.

As a program it is that process: a job a line on standard input, an answer a line on standard output.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Worker:
    """Such a process, started with the first command; ``prefix`` runs it elsewhere, ``program`` is another such one."""

    def __init__(
        self, environment: Mapping[str, str], prefix: Sequence[str] = (), program: Path = Path(__file__)
    ) -> None:
        self._environment = {**environment, "PYTHONPATH": str(ROOT)}
        self._prefix = prefix
        self._program = program
        self._process: subprocess.Popen[str] | None = None

    def run(self, argv: Sequence[str], env: Mapping[str, str | None] | None = None) -> dict[str, Any]:
        """``{"code", "out", "err", "seconds"}`` of one command; ``env`` is added, None takes a variable away."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"argv": list(argv), "env": dict(env or {})}) + "\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, "-P", str(self._program)],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def close(self) -> None:
        """End the process, and wait for it."""
        if self._process is not None:
            self._process.communicate(timeout=10)
            self._process = None


def main() -> None:
    """Answer jobs until the input ends."""
    from stackctl.cli.boundary import run  # noqa: PLC0415  (after the streams are set up)

    channel = os.fdopen(os.dup(1), "w")
    base = dict(os.environ)
    for line in sys.stdin:
        job = json.loads(line)
        os.environ.clear()
        os.environ.update(base)
        for key, value in job["env"].items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        out, err, begun = io.StringIO(), io.StringIO(), time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(job["argv"])
        seconds = time.monotonic() - begun
        channel.write(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue(), "seconds": seconds}))
        channel.write("\n")
        channel.flush()


if __name__ == "__main__":
    main()
