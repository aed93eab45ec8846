"""What every command is given: where it works, and the protocols through which it acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stackctl.ports import Clock, Engine, Files, HostNames, Reporter


@dataclass(frozen=True)
class Session:
    """One run of stackctl in one directory.

    ``variables`` is the environment of the process; ``hide`` registers values
    that must never be printed.
    """

    directory: Path
    config_name: str
    environment: str | None
    engine: Engine
    files: Files
    reporter: Reporter
    names: HostNames
    variables: Mapping[str, str] = field(repr=False)
    clock: Clock
    hide: Callable[[Sequence[str]], None] = field(default=lambda _values: None, repr=False)
    as_json: bool = False

    @property
    def config_path(self) -> Path:
        """``stackctl.yaml``, wherever ``--config`` puts it."""
        return self.directory / self.config_name

    @property
    def state_directory(self) -> Path:
        """``.stackctl``, beside ``stackctl.yaml``."""
        return self.config_path.parent / ".stackctl"
