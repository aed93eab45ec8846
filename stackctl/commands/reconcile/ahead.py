"""Questions asked ahead of time: while the program still loads. A second ``up`` asks them again as the first did.

What comes back is used only where the question turns out to be the same.
Nothing heavy is imported here; that is the point.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackctl.ports import ComposeCall, Container, Engine


@dataclass
class Ahead:
    """Futures by question. ``call`` is the Compose call of the last time, or None where there was none."""

    call: ComposeCall | None = None
    asked_config: Future[dict[str, Any]] | None = None
    asked_hashes: Future[dict[str, str]] | None = None
    asked_containers: Future[list[Container]] | None = None
    override: bytes = b""
    began: int = field(default_factory=time.time_ns)
    """When the first question was asked, in nanoseconds since the epoch."""
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=6), repr=False)

    def ask(self, question: Callable[[], Any]) -> Future[Any]:
        """Ask something side by side with what runs."""
        return self._pool.submit(question)

    def ask_config(self, engine: Engine, call: ComposeCall) -> None:
        """Let Compose read the project of ``call``."""
        self.call = call
        self.asked_config = self.ask(lambda: engine.config(call, all_profiles=True))

    def config(self, call: ComposeCall) -> dict[str, Any] | None:
        """The resolved project, where exactly this call was asked."""
        return _result(self.asked_config) if self.asked_config and self._same(call) else None

    def hashes(self, call: ComposeCall, override: str) -> dict[str, str] | None:
        """The hashes, where exactly this call was asked with this override."""
        same = self.asked_hashes and self._same(call) and self.override == override.encode()
        return _result(self.asked_hashes) if same and self.asked_hashes else None

    def containers(self, project: str) -> list[Container] | None:
        """The containers of the project, as they were when this run began; gone once taken."""
        if self.asked_containers is None or self.call is None or self.call.project != project:
            return None
        taken, self.asked_containers = self.asked_containers, None
        found: list[Container] | None = _result(taken)
        return found

    def _same(self, call: ComposeCall) -> bool:
        return self.call is not None and replace(self.call, project=call.project) == replace(call, variables={})


def _result(future: Future[Any]) -> Any:
    from stackctl.errors import StackctlError  # noqa: PLC0415

    try:
        return future.result()
    except StackctlError:
        # The question is asked again in its turn, and fails there with its own words.
        return None


def remember(call: ComposeCall) -> dict[str, Any]:
    """What ``state.json`` keeps of a call; no variable of it."""
    return {
        "directory": str(call.directory),
        "files": list(call.files),
        "env_files": list(call.env_files),
        "profiles": list(call.profiles),
    }


def start(engine: Engine, state_directory: Path, *, project_call: bool = True) -> Ahead:
    """Ask again what the last run asked; an empty :class:`Ahead` where there was none."""
    ahead = Ahead()
    ahead.ask(engine.compose_version)
    try:
        state: Mapping[str, Any] = json.loads((state_directory / "state.json").read_bytes())
        kept = state["call"]
        override = (state_directory / "override.yaml").read_bytes()
        call = ComposeCall(
            Path(kept["directory"]),
            _texts(kept["files"]),
            str(state["project"]),
            _texts(kept["env_files"]),
            _texts(kept["profiles"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ahead
    if not project_call:
        return ahead
    ahead.ask_config(engine, call)
    ahead.override = override
    ahead.asked_containers = ahead.ask(lambda: engine.containers(str(call.project)))
    if b"${" not in override:
        merged = replace(call, files=(*call.files, str(state_directory / "override.yaml")))
        ahead.asked_hashes = ahead.ask(lambda: engine.hashes(merged))
    return ahead


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(v) for v in values)
