"""A transaction whose process was killed: seen by the next command, and undone by the next that acts."""

from __future__ import annotations

import os
from dataclasses import replace

from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import JOURNAL, LOCK, journal_identity, read_text
from stackctl.commands.reconcile.executor import NETWORK_LABELS, ExecutorInput, StackExecutor
from stackctl.errors import EngineUnusable, ExpectedFailure, RollbackFailed, StackctlError, WrongInput
from stackctl.project.compose import ComposeProject
from stackctl.transaction.apply import by_hand, signals_held
from stackctl.transaction.journal import Pending, pending


def unfinished(session: Session) -> Pending | None:
    """The transaction that did not end, or None; touches nothing. Raises :class:`WrongInput` for a damaged journal."""
    text = read_text(session, JOURNAL)
    return pending(text, str(session.state_directory / JOURNAL)) if text else None


def describe(found: Pending, now: float) -> str:
    """One line about it."""
    who = f"process {found.pid}" + ("" if _alive(found.pid) else ", which is gone")
    return f"unfinished: {found.purpose} ({who}), begun {max(0.0, now - found.since):.0f} s ago"


def notice(session: Session, found: Pending) -> str:
    """The same for what only looks: it may be under way still, else with what is to be done about it."""
    said = describe(found, session.clock())
    holder = read_text(session, LOCK) or ""
    if f'"pid": {found.pid},' in holder and _alive(found.pid):
        return said.replace("unfinished", "under way", 1)
    return f"{said}: `stackctl rollback` undoes it"


def recover(session: Session, stack: Stack, project: ComposeProject, *, dry_run: bool = False) -> bool:
    """Undo what a killed process began; True where there was something. The caller holds the lock.

    Raises :class:`ExpectedFailure` where nothing may be touched, and
    :class:`RollbackFailed` where undoing fails; the journal then stays,
    and the next command tries again.
    """
    found = unfinished(session)
    journal = session.state_directory / JOURNAL
    if found is None:
        session.files.remove(journal)
        return False
    if dry_run:
        raise ExpectedFailure(
            f"{describe(found, session.clock())}; it must be undone before anything else can be planned",
            hint="stackctl rollback",
        )
    session.reporter.note(describe(found, session.clock()))
    _refuse_foreign(session, stack, project, found)
    if found.saved:
        session.reporter.note("it was verified and kept; only its end was not written down")
        session.files.remove(journal)
        return True
    named = replace(stack, call=replace(stack.call, project=project.name))
    executor = StackExecutor(ExecutorInput(session, named, project))
    try:
        with signals_held():
            executor.undo(found.snapshot)
    except EngineUnusable:
        raise
    except StackctlError as error:
        raise RollbackFailed(
            f"undoing the unfinished {found.purpose} failed: {error.message}", steps=by_hand(), hint=error.hint
        ) from error
    session.files.remove(journal)
    session.reporter.note("undone: the stack is as it was before it")
    return True


def _refuse_foreign(session: Session, stack: Stack, project: ComposeProject, found: Pending) -> None:
    """Raise :class:`WrongInput` for a journal that this user did not write here, or that is about another project.

    Undoing writes its override and starts what that says: a journal that came with a repository could start anything.
    """
    path = session.state_directory / JOURNAL
    look = f"docker compose ps   # look at the stack\nrm {path}   # where it is as you want it; then stackctl up"
    if not session.trust.signed(journal_identity(session, found.signed), found.signature):
        raise WrongInput(
            f"{path} was not written by you in this directory, and is not undone",
            hint=f"whoever began `{found.purpose}` can undo it: stackctl rollback. Else:\n{look}",
            where=str(path),
        )
    remembered = [c for containers in found.snapshot.containers.values() for c in containers]
    known = session.engine.inspect(list(dict.fromkeys(c[key] for c in remembered for key in ("id", "name"))))
    strangers = [c.name for c in known if c.labels.get("com.docker.compose.project") != project.name]
    shared = stack.config.network.shared
    strangers += [n for n in found.snapshot.networks if n != shared and not _is_our_network(session, n)]
    if strangers:
        raise WrongInput(
            f"{path} speaks of {', '.join(dict.fromkeys(strangers))}, which is not of the project {project.name};"
            " nothing is undone",
            hint=look,
            where=str(path),
        )


def _is_our_network(session: Session, name: str) -> bool:
    network = session.engine.network(name)
    return network is not None and NETWORK_LABELS.items() <= (network.get("Labels") or {}).items()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
