"""What only the engine knows of a container: how many processes it runs, and whether it is being stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from stackctl.adapters.api import EngineApi

ENDING = frozenset({"2", "3", "9", "15", "28"})
"""Signals that images are stopped by: SIGINT, SIGQUIT, SIGKILL, SIGTERM, SIGWINCH (httpd). Others, such as SIGHUP, only
ask a server to read its settings again."""
WINDOW = 60.0
"""Seconds to look back: a container that was sent its signal earlier has ended, or is held up by something else."""


def counted_processes(stats: Mapping[str, Any]) -> tuple[int, int] | None:
    """Processes and threads, and how many may be, from ``GET /containers/ID/stats``; None without a limit."""
    counted = stats.get("pids_stats") or {}
    return (int(counted["current"]), int(counted["limit"])) if counted.get("limit") else None


def told_to_end(api: EngineApi, containers: Sequence[str]) -> list[str]:
    """Those of these containers, by ID, that are being stopped: their last event is a signal to end.

    The engine goes on stopping a container when the client that asked for it has
    left, and no field of the container shows it; only its events do (``kill``, then
    ``die``). Times are the engine's own, since it waits for an ``until`` in the future.
    """
    now = _seconds(str((api.info()).get("SystemTime") or "")) if containers else None
    if now is None:
        return []
    kinds = {"type": ["container"], "event": ["kill", "die", "start"], "container": list(containers)}
    last = {str(event.get("id")): event for event in api.events(now - WINDOW, now, kinds) if _counts(event)}
    return [name for name in containers if last.get(name, {}).get("Action") == "kill"]


def _counts(event: Mapping[str, Any]) -> bool:
    signal = ((event.get("Actor") or {}).get("Attributes") or {}).get("signal")
    return event.get("Action") != "kill" or signal in ENDING


def _seconds(moment: str) -> float | None:
    """Unix time of an RFC 3339 time, however many digits its seconds have."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None
