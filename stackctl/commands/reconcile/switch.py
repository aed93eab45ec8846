"""``stackctl switch`` and ``rollback``: another target, verified before it is kept."""

from __future__ import annotations

from stackctl.commands.context.project_loader import Stack, load, resolve_project
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import workspace
from stackctl.commands.reconcile import report
from stackctl.commands.reconcile.observe import read_state
from stackctl.commands.reconcile.pipeline import Options, Request, bring
from stackctl.commands.reconcile.prepare import choose_profile
from stackctl.commands.reconcile.recover import recover, unfinished
from stackctl.config.target import resolve
from stackctl.errors import ExpectedFailure
from stackctl.outcome import Line, Outcome
from stackctl.project.compose import ComposeProject
from stackctl.transaction.state import State


def switch(
    session: Session,
    name: str,
    *,
    dry_run: bool = False,
    timeout: float = 120.0,
    assume_yes: bool = False,
    deep: bool = False,
) -> Outcome:
    """Point the consumers at ``name``, a profile or a URL; ``timeout`` in seconds bounds the wait for health."""
    state = read_state(session)
    stack = load(session, environment=state.environment if state else None)
    # Before the lock says what it is held for: a URL that is refused may hold a password.
    resolve(stack.config, name)
    session.engine.connect_meanwhile()
    project, stack = resolve_project(session, stack)
    with workspace(session, f"switch {name}"):
        recover(session, stack, project, dry_run=dry_run)
        state = read_state(session)
        return _switch(
            session,
            stack,
            project,
            name,
            state,
            verb="switch",
            dry_run=dry_run,
            timeout=timeout,
            assume_yes=assume_yes,
            deep=deep,
        )


def _switch(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    name: str,
    state: State | None,
    *,
    verb: str,
    dry_run: bool,
    timeout: float,
    assume_yes: bool,
    deep: bool = False,
) -> Outcome:
    running = {c.service for c in session.engine.containers(project.name) if c.state == "running"}
    # Where no consumer runs there is nothing to point elsewhere: the switch is an `up` on that target.
    everything = not running & set(stack.config.told)
    options = Options(
        verb,
        everything=everything,
        dry_run=dry_run,
        assume_yes=assume_yes,
        health_timeout=timeout,
        on_unreachable="fail",
        deep=deep,
    )
    result = bring(Request(session, stack, project, name, state, options))
    target = result.prepared.target
    return report.brought(
        result,
        f"stackctl.{verb}/1",
        changed=f"{project.name} now uses {target.name} ({target.url})",
        unchanged=f"{project.name} uses {target.name} already; nothing to do",
        next_steps=["stackctl rollback    # back to where it was"] if result.plan and result.applied else [],
    )


def rollback(session: Session, *, timeout: float = 120.0) -> Outcome:
    """Undo an unfinished transaction, or go back to the verified target before this one."""
    state = read_state(session)
    stack = load(session, environment=state.environment if state else None)
    session.engine.connect_meanwhile()
    project, stack = resolve_project(session, stack)
    with workspace(session, "rollback"):
        found = unfinished(session)
        if found is not None:
            recover(session, stack, project)
            state = read_state(session)
            name = choose_profile(stack, project, state, None)
            return Outcome(
                "stackctl.rollback/1",
                {"profile": state.profile if state else None, "undone": found.purpose},
                [Line(f"undone: {found.purpose}; the last verified target is {name}", "ok")],
            )
        if state is None or state.previous is None:
            raise ExpectedFailure("there is no earlier verified target to go back to", hint="stackctl history")
        return _switch(
            session,
            stack,
            project,
            state.previous,
            state,
            verb="rollback",
            dry_run=False,
            timeout=timeout,
            assume_yes=True,
        )
