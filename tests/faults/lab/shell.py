"""Run commands of the lab, loudly on failure."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping


def run(
    *argv: str, check: bool = True, timeout: float = 120, env: Mapping[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end; the output is in the error where it fails."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=timeout, env=dict(env) if env else None, input=stdin, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done
