"""Reading a project that stackctl does not know yet: which files, what Compose makes of them, and their texts."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackctl.commands.resolving import active_services, blame, whole_config
from stackctl.commands.session import Session
from stackctl.errors import ComposeFileError, StackctlError, UsageError, WrongInput
from stackctl.ports import ComposeCall, Files
from stackctl.project.compose import ComposeProject
from stackctl.project.discovery.source import MAX_TEXT, Source
from stackctl.project.location import default_files, read_env_file


@dataclass(frozen=True)
class FileReader:
    """Texts through the :class:`~stackctl.ports.Files` port; what cannot be read is not there."""

    files: Files

    def text(self, path: str) -> str | None:
        """At most ``MAX_TEXT`` bytes, undecodable ones replaced; None for what is no text file."""
        try:
            data = self.files.read(Path(path), limit=MAX_TEXT)
        except WrongInput:
            return None
        return None if data is None or b"\0" in data[:4096] else data[:MAX_TEXT].decode("utf-8", "replace")

    def names(self, directory: str) -> list[str]:
        """Names in a directory."""
        return self.files.names(Path(directory))


def compose_files(session: Session, named: Sequence[str]) -> list[Path]:
    """The Compose files: those named, relative to the session's directory, else what plain Compose would take.

    Raises :class:`UsageError` for a named file that is not there, :class:`ComposeFileError` where there is none.
    """

    def is_file(path: Path) -> bool:
        try:
            return session.files.read(path, limit=0) is not None
        except WrongInput:
            return False

    if named:
        paths = [session.directory / name for name in named]
        for name, path in zip(named, paths, strict=True):
            if not is_file(path):
                raise UsageError(
                    f"no such Compose file: {name}", hint="`-f` is relative to the directory of the call, or of -C"
                )
        return paths
    found = default_files(session.directory, _variables(session, session.directory), is_file)
    if not found:
        raise ComposeFileError(
            f"no Compose file in {session.directory} nor in its parents", hint="stackctl init -f FILE"
        )
    return found


def start(session: Session, named: Sequence[str]) -> Reading | None:
    """Begin to read the project of these files; None where they are not there, which is said in its turn."""
    try:
        return Reading(session, compose_files(session, named))
    except StackctlError:
        return None


class Reading:
    """A project being resolved by Compose, while this process goes on with what does not need the answer."""

    def __init__(self, session: Session, paths: Sequence[Path]) -> None:
        self._session, self._directory = session, paths[0].parent
        self.reader = FileReader(session.files)
        self.variables: Mapping[str, str] = _variables(session, self._directory)
        named = self.variables.get("COMPOSE_PROFILES", "").split(",")
        profiles = tuple(p.strip() for p in named if p.strip())
        self.files = tuple(str(p) for p in paths)
        self._call = ComposeCall(directory=self._directory, files=self.files, profiles=profiles)
        self._answer: dict[str, Any] | Exception | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._session.engine.compose_version()
            self._answer = whole_config(self._session.engine, self._call)
        except Exception as error:  # noqa: BLE001  (raised again where the answer is waited for)
            self._answer = error

    def source(self) -> Source:
        """The resolved project, and the way to its texts.

        Raises :class:`ComposeFileError` in Compose's own words where Compose refuses it,
        :class:`EngineUnusable` where there is no Compose, or one that `up` would refuse.
        """
        self._thread.join()
        if isinstance(self._answer, ComposeFileError):
            blame(self._session, self.files, self._answer)
        if not isinstance(self._answer, dict):
            raise self._answer or RuntimeError("Compose gave no answer")
        active = active_services(self._answer, self._call.profiles)
        project = ComposeProject.from_config(self._answer, directory=str(self._directory), active=active)
        home = str(self._session.directory)
        return Source(project, self.files, self.reader, home, self.variables)


def _variables(session: Session, directory: Path) -> dict[str, str]:
    try:
        data = session.files.read(directory / ".env", limit=MAX_TEXT)
    except WrongInput:
        data = None
    return {**(read_env_file(data.decode("utf-8", "replace")) if data else {}), **session.variables}
