"""Which Compose files make the project, and their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackctl.commands.context.session import Session
from stackctl.errors import ComposeFileError, SpecialFile, UsageError, WrongInput
from stackctl.ports import Files
from stackctl.project.discovery.source import MAX_TEXT
from stackctl.project.location import default_files, env_files_of_shell, read_env_file


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


def compose_files(session: Session, named: Sequence[str], variables: Mapping[str, str] | None = None) -> list[Path]:
    """The Compose files: those named, relative to the session's directory, else what plain Compose would take.

    ``variables`` is what Compose interpolates from, where it is known already.

    Raises :class:`UsageError` for a named file that is not there, :class:`ComposeFileError` where there is none.
    """

    def is_file(path: Path) -> bool:
        try:
            return session.files.read(path, limit=0) is not None
        except SpecialFile:
            raise
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
    known = compose_variables(session, session.directory) if variables is None else variables
    found = default_files(session.directory, known, is_file)
    if not found:
        raise ComposeFileError(
            f"no Compose file in {session.directory} nor in its parents", hint="stackctl init -f FILE"
        )
    return found


def compose_variables(session: Session, directory: Path, env_files: Sequence[Path] = ()) -> dict[str, str]:
    """What Compose interpolates from: the project's ``.env`` or the files named in its place, the environment over it.

    ``env_files`` are the files that ``stackctl.yaml`` names; the shell's come after them.
    """
    found: dict[str, str] = {}
    for path in env_files or env_files_of_shell(session.directory, session.variables) or [directory / ".env"]:
        try:
            data = session.files.read(path, limit=MAX_TEXT)
        except SpecialFile:
            raise
        except WrongInput:
            continue
        found |= read_env_file(data.decode("utf-8", "replace")) if data else {}
    return {**found, **session.variables}
