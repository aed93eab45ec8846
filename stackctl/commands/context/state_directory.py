"""``.stackctl/``: made when it is needed, held by one process at a time, gone again where nothing came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackctl.commands.context.session import Session

IGNORE, LOCK = ".gitignore", "lock"


def ensure_directory(session: Session) -> None:
    """``.stackctl/``, ignoring itself."""
    session.files.write(session.state_directory / IGNORE, b"*\n")


@contextmanager
def workspace(session: Session, purpose: str) -> Iterator[None]:
    """The directory under the project's lock. Raises :class:`ProjectLocked` where another process holds it.

    Wrong input and ``--dry-run`` find nothing worth keeping there, and leave nothing.
    """
    ensure_directory(session)
    with session.files.lock(session.state_directory / LOCK, purpose):
        try:
            yield
        finally:
            _tidy(session, {IGNORE, LOCK})


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
        _tidy(session, {IGNORE})


def _tidy(session: Session, ours: set[str]) -> None:
    if set(session.files.names(session.state_directory)) <= ours:
        session.files.remove(session.state_directory)
