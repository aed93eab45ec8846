"""What every command is given: where it works, and the protocols through which it acts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from stackctl.commands.context import project_state
from stackctl.config.secrets import Secret
from stackctl.ports import Clock, Container, Engine, Files, HostNames, Reporter
from stackctl.redaction import Redactor

Consent = Callable[[str, Path | None], None]
"""Told of a reference, and of the file that it names, before it is read; raises where it must not be."""


def _no_secrets(_variables: Mapping[str, str], _directory: Path, _consent: Consent) -> Callable[[str], Secret]:
    raise NotImplementedError("this session resolves no secrets")


def _no_way(_container: Container, _port: int) -> Any:
    raise NotImplementedError("this session reaches into no container")


class Trust(Protocol):
    """The texts of ``stackctl.yaml`` that the user has trusted, by path and digest. Kept outside of every project."""

    def trusted(self, path: Path, digest: str) -> bool:
        """Whether the user has trusted this very text of the file."""

    def add(self, path: Path, digest: str) -> None:
        """Trust this text."""

    def revoke(self, path: Path) -> bool:
        """Trust the file no longer; returns whether it was trusted."""

    def sign(self, text: str) -> str:
        """A signature that only this user can make; empty where there is no place to keep a key."""

    def signed(self, text: str, signature: str) -> bool:
        """Whether the signature of the text is this user's."""

    def leads_outside(self, path: Path, directory: Path) -> bool:
        """Whether ``path``, its links followed, is anywhere but in ``directory``."""


@dataclass(frozen=True)
class Session:
    """One run of stackctl in one directory.

    ``variables`` is the environment of the process; ``redactor`` is the console's,
    told here of what must never be shown; ``secrets`` makes a resolver of references from
    variables, a base directory and what has to agree first; ``into_container`` opens a way to a port
    inside a container, published or not.
    """

    directory: Path
    config_name: str
    environment: str | None
    engine: Engine
    files: Files
    reporter: Reporter
    names: HostNames
    trust: Trust
    variables: Mapping[str, str] = field(repr=False)
    clock: Clock
    redactor: Redactor = field(default_factory=Redactor, repr=False)
    secrets: Callable[[Mapping[str, str], Path, Consent], Callable[[str], Secret]] = field(
        default=_no_secrets, repr=False
    )
    into_container: Callable[[Container, int], Any] = field(default=_no_way, repr=False)
    as_json: bool = False

    def hide(self, values: Iterable[str]) -> None:
        """From now on, these values are redacted wherever they would be shown."""
        self.redactor.hide(values)

    @property
    def config_path(self) -> Path:
        """``stackctl.yaml``, wherever ``--config`` puts it."""
        return self.directory / self.config_name

    @cached_property
    def state_directory(self) -> Path:
        """``.stackctl`` beside ``stackctl.yaml``, or the place in it of a further project of that directory."""
        return project_state.directory(self.files, self.config_path, self.directory, self.variables)

    @property
    def project_name(self) -> str:
        """The Compose project at hand, as it is known before Compose is asked."""
        return project_state.project_name(self.files, self.config_path, self.directory, self.variables)
