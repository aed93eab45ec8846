"""Apply a plan, with a journal; undo it on any failure, Ctrl-C included. The plan holds every decision."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stackctl.errors import Interrupted, RollbackFailed, StackctlError
from stackctl.ports import Clock, Files
from stackctl.transaction import journal
from stackctl.transaction.journal import Snapshot
from stackctl.transaction.steps import Plan, Step


class Executor(Protocol):
    """Carries out single steps, and the whole undo."""

    def do(self, step: Step) -> None:
        """Carry out one step or raise."""

    def undo(self, snapshot: Snapshot) -> list[str]:
        """Restore the snapshot; returns the steps taken, as text. Raises where one fails."""

    def keep_evidence(self, error: BaseException) -> Path | None:
        """Save logs and probe results of a failure; returns where."""


@dataclass(frozen=True)
class Transaction:
    """A plan with all that applying it needs."""

    plan: Plan
    purpose: str
    environment: str | None
    snapshot: Snapshot
    journal_path: Path
    sign: Callable[[str], str]


def apply(transaction: Transaction, executor: Executor, files: Files, clock: Clock) -> None:
    """Run every step in order.

    Any failure, an interrupt too, undoes everything and is raised again: as
    :class:`Interrupted` for an interrupt, as :class:`RollbackFailed` where the
    undoing fails.
    """
    path = transaction.journal_path
    files.remove(path)
    begin = journal.begin_line(
        transaction.purpose,
        os.getpid(),
        clock(),
        transaction.environment,
        transaction.snapshot,
        transaction.plan,
        transaction.sign,
    )
    started = False
    try:
        files.append(path, begin)
        for index, step in enumerate(transaction.plan.steps):
            started = True
            files.append(path, journal.step_line("start", index, step.kind, clock()))
            executor.do(step)
            files.append(path, journal.step_line("done", index, step.kind, clock()))
    except BaseException as error:
        with signals_held():
            if started:
                _undo(transaction, executor, files, clock, error)
            else:
                _forget(files, path)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("interrupted; the stack is as it was before") from None
        raise
    with signals_held(), contextlib.suppress(StackctlError):
        # The state is saved already: the transaction counts even where these two lines fail.
        files.append(path, journal.end_line("kept", clock()))
        files.remove(path)


def _undo(transaction: Transaction, executor: Executor, files: Files, clock: Clock, error: BaseException) -> None:
    evidence = executor.keep_evidence(error)
    if evidence is not None and isinstance(error, StackctlError):
        error.hint = f"{error.hint}\n  evidence: {evidence}".strip() if error.hint else f"evidence: {evidence}"
    try:
        executor.undo(transaction.snapshot)
    except Exception as failure:
        reason = failure.message if isinstance(failure, StackctlError) else f"{type(failure).__name__}: {failure}"
        cause = error.message if isinstance(error, StackctlError) else f"{type(error).__name__}: {error}"
        raise RollbackFailed(
            f"{transaction.purpose} failed ({cause}), and so did undoing it ({reason})",
            steps=by_hand(),
            hint="what was there before is kept in .stackctl/journal.jsonl; the next stackctl command tries again",
        ) from failure
    with contextlib.suppress(StackctlError):
        files.append(transaction.journal_path, journal.end_line("undone", clock()))
    _forget(files, transaction.journal_path)


def _forget(files: Files, path: Path) -> None:
    """Remove a journal that holds nothing to undo; on a full or read-only disk the next command does it."""
    with contextlib.suppress(StackctlError):
        files.remove(path)


def by_hand() -> list[str]:
    """What a person can do where undoing failed."""
    return [
        "docker info            # the engine must answer",
        "stackctl rollback      # tries to undo again",
        "stackctl status        # shows what is there",
    ]


@contextmanager
def signals_held() -> Iterator[None]:
    """Ignore further interrupts, so that cleaning up finishes; only in the main thread, where they arrive."""
    held: list[tuple[int, Callable[..., Any] | int | None]] = []
    try:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            try:
                held.append((int(name), signal.signal(name, signal.SIG_IGN)))
            except ValueError:
                break
        yield
    finally:
        for number, handler in held:
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
