"""``.stackctl/``: made when it is needed, held by one process at a time, gone again where nothing came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stackctl.commands.context.project_state import DIRECTORY, NAME, OTHERS
from stackctl.commands.context.session import Session
from stackctl.errors import ProjectLocked
from stackctl.transaction.state import State, parse
from stackctl.waiting import until

PATIENCE = 10.0
"""Seconds that a change of a moment waits for the lock."""
IGNORE, LOCK = ".gitignore", "lock"
STATE, OVERRIDE, JOURNAL, AUDIT, EVIDENCE = "state.json", "override.yaml", "journal.jsonl", "audit.log", "evidence"


def read_state(session: Session) -> State | None:
    """The last verified state; raises :class:`WrongInput` for a damaged one."""
    path = session.state_directory / STATE
    return parse(session.files.read(path), str(path))


def write_state(session: Session, state: State) -> None:
    """Make ``state`` the one in force."""
    session.files.write(session.state_directory / STATE, state.to_json().encode())


def read_text(session: Session, name: str) -> str | None:
    """A file of ``.stackctl/`` as text, or None."""
    data = session.files.read(session.state_directory / name)
    return None if data is None else data.decode("utf-8", "replace")


def journal_identity(session: Session, text: str) -> str:
    """What is signed: the journal's text, and the place where it belongs, so that it is of no use elsewhere."""
    return f"{session.state_directory.resolve()}\n{text}"


def rfc3339(seconds: float) -> str:
    """A moment since the epoch as ``state.json`` and ``audit.log`` have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def ensure_directory(session: Session) -> None:
    """``.stackctl/``, ignoring itself, and the name of the project that has it."""
    session.files.write(session.config_path.parent / DIRECTORY / IGNORE, b"*\n")
    session.files.write(session.state_directory / NAME, f"{session.project_name}\n".encode())
    for name in (STATE, OVERRIDE, JOURNAL, AUDIT, f"{EVIDENCE}/failure.json"):
        # Raises for what is no plain file: before anything is done, not when it is written at the end.
        session.files.read(session.state_directory / name, limit=0)


@contextmanager
def workspace(session: Session, purpose: str) -> Iterator[None]:
    """The directory under the project's lock. Raises :class:`ProjectLocked` where another process holds it.

    Wrong input and ``--dry-run`` find nothing worth keeping there, and leave nothing.
    """
    with session.files.lock(session.state_directory / LOCK, purpose):
        try:
            # Under the lock only: until then another process may be about to remove the directory.
            ensure_directory(session)
            yield
        finally:
            _tidy(session, {IGNORE, LOCK, NAME})


@contextmanager
def workspace_soon(session: Session, purpose: str) -> Iterator[None]:
    """The same for what takes a moment: it waits for others of its kind for a few seconds before it gives up."""
    with ExitStack() as held:

        def enter() -> bool:
            try:
                held.enter_context(workspace(session, purpose))
            except ProjectLocked:
                return False
            return True

        if not until(enter, within=PATIENCE, every=0.05):
            held.enter_context(workspace(session, purpose))
        yield


@contextmanager
def candidate(session: Session, text: str) -> Iterator[Path]:
    """An override for Compose to judge, in a file of its own: ``status`` and ``up`` may judge at the same time."""
    ensure_directory(session)
    path = session.state_directory / f"override.{os.getpid()}.candidate.yaml"
    session.files.write(path, text.encode())
    try:
        yield path
    finally:
        session.files.remove(path)
        _tidy(session, {IGNORE, NAME})


def remove_directory(session: Session) -> None:
    """Remove the project's state, and ``.stackctl`` with it unless another project of the directory has its there."""
    root, mine = session.config_path.parent / DIRECTORY, session.state_directory
    kept = {IGNORE, f"{OTHERS}/"} if mine == root and session.files.names(root / OTHERS) else set()
    for name in set(session.files.names(mine)) - kept:
        session.files.remove(mine / name)
    for place in (mine, root / OTHERS, root):
        if set(session.files.names(place)) <= {IGNORE}:
            session.files.remove(place)


def _tidy(session: Session, ours: set[str]) -> None:
    if set(session.files.names(session.state_directory)) <= ours:
        remove_directory(session)
