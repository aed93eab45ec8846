"""``stackctl switch``: another target, verified before it is kept."""

from __future__ import annotations

from dataclasses import replace

from stackctl.commands.context.project_loader import Stack, load_in_force, resolve_project
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import read_state, workspace
from stackctl.commands.reconcile import report
from stackctl.commands.reconcile.pipeline import Options, reconcile
from stackctl.commands.reconcile.recover import recover
from stackctl.config.target import resolve
from stackctl.errors import ExpectedFailure
from stackctl.outcome import Outcome
from stackctl.project.compose import ComposeProject
from stackctl.transaction.state import State


def switch(
    session: Session,
    name: str,
    *,
    dry_run: bool = False,
    timeout: float = 300.0,
    assume_yes: bool = False,
    deep: bool = False,
) -> Outcome:
    """Point the consumers at ``name``, a profile or a URL; ``timeout`` in seconds bounds the wait for health."""
    state, stack = load_in_force(session)
    # Before the lock says what it is held for: a URL that is refused may hold a password.
    resolve(stack.config, name)
    session.engine.connect_meanwhile()
    project, stack = resolve_project(session, stack)
    with workspace(session, f"switch {name}"):
        recover(session, stack, project, dry_run=dry_run)
        state = read_state(session)
        options = Options(
            "switch", everything=False, dry_run=dry_run, assume_yes=assume_yes, health_timeout=timeout, deep=deep
        )
        return switch_to(session, stack, project, name, state, options)


def switch_to(
    session: Session, stack: Stack, project: ComposeProject, name: str, state: State | None, options: Options
) -> Outcome:
    """Point the consumers at ``name``. The caller holds the lock and has recovered."""
    if not stack.config.told:
        fixed = [f"{name} ({c.fixed})" for name, c in stack.config.consumers.items() if c.fixed]
        held = f": {', '.join(fixed)} cannot be told otherwise" if fixed else ""
        raise ExpectedFailure(
            f"{session.config_name} names no consumer that could be pointed elsewhere{held}",
            hint="`gateway: true` takes over the server's name for them, each written as `{}`"
            if fixed
            else "stackctl init   (finds who uses Ollama here)",
        )
    running = {c.service for c in session.engine.containers(project.name) if c.state == "running"}
    # Where no consumer runs there is nothing to point elsewhere: the switch is an `up` on that target.
    everything = not running & set(stack.config.told)
    result = reconcile(session, stack, project, name, state, replace(options, everything=everything))
    target = result.target
    return report.reconciled(
        result,
        f"stackctl.{options.verb}/1",
        changed=f"{project.name} now uses {target.name} ({target.url})",
        unchanged=f"{project.name} uses {target.name} already; nothing to do",
        next_steps=["stackctl rollback    # back to where it was"] if result.plan and result.applied else [],
    )
