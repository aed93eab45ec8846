"""Log lines in the real server's two formats: access lines to stdout, the rest to stderr."""

from __future__ import annotations

import sys
import time
from typing import Any

from ollama_double.godata import quote, show_duration, timestamp

_SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:+*[]@%,")
_levels = {"DEBUG": 0, "INFO": 1, "WARN": 2, "ERROR": 3}
_state = {"threshold": 1, "access": True}


def configure(*, debug: bool, access: bool) -> None:
    """Set whether DEBUG lines and access lines are written."""
    _state["threshold"] = 0 if debug else 1
    _state["access"] = access


def line(level: str, source: str, message: str, **fields: Any) -> None:
    """Write one structured line to stderr."""
    if _levels[level] < int(_state["threshold"]):
        return
    parts = [f"time={_now()}", f"level={level}", f"source={source}", f"msg={_value(message)}"]
    parts += [f"{key}={_value(value)}" for key, value in fields.items()]
    sys.stderr.write(" ".join(parts) + "\n")
    sys.stderr.flush()


def raw(text: str) -> None:
    """Write a runner's own line, which bears no prefix."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def access(status: int, nanoseconds: int, client: str, method: str, path: str) -> None:
    """Write one access line to stdout."""
    if not _state["access"]:
        return
    if nanoseconds > 60 * 10**9:
        nanoseconds -= nanoseconds % 10**9
    stamp = time.strftime("%Y/%m/%d - %H:%M:%S")
    sys.stdout.write(
        f"[GIN] {stamp} | {status:3d} | {show_duration(nanoseconds):>13} | {client:>15} | {method:<8} {quote(path)}\n"
    )
    sys.stdout.flush()


def _now() -> str:
    nanoseconds = time.time_ns()
    return timestamp(nanoseconds - nanoseconds % 10**6, local=True)


def _value(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if text and set(text) <= _SAFE else quote(text)
