"""``stackctl up``: the stack, on its Ollama, verified from every consumer."""

from __future__ import annotations

from stackctl.commands.context.project_loader import load_in_force, resolve_project
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import read_state, workspace
from stackctl.commands.reconcile import report
from stackctl.commands.reconcile.pipeline import Options, reconcile
from stackctl.commands.reconcile.prepare import choose_profile
from stackctl.commands.reconcile.recover import recover
from stackctl.config.target import resolve
from stackctl.outcome import Outcome


def up(session: Session, profile: str | None, *, timeout: float = 300.0, dry_run: bool = False) -> Outcome:
    """Bring the stack up on ``profile``, on the target in force, or on the default one.

    ``timeout`` is in seconds and bounds the wait for health.
    """
    state, stack = load_in_force(session)
    if profile:
        # Before the lock says what it is held for: a URL that is refused may hold a password.
        resolve(stack.config, profile)
    session.engine.connect_meanwhile()
    project, stack = resolve_project(session, stack)
    options = Options(
        "up", everything=True, dry_run=dry_run, health_timeout=timeout, on_unreachable=stack.config.on_unreachable
    )
    with workspace(session, f"up {profile or ''}".strip()):
        recover(session, stack, project, dry_run=dry_run)
        # Another stackctl may have come and gone before the lock was ours.
        state = read_state(session)
        name = choose_profile(stack, project, state, profile)
        result = reconcile(session, stack, project, name, state, options)
        target = result.target
        where = f"{project.name} is up on {target.name}"
    return report.reconciled(
        result,
        report.UP,
        changed=f"{where} ({report.TARGET_WORDS[target.kind]})",
        unchanged=f"{where}; nothing to do",
        next_steps=["stackctl status", "stackctl switch PROFILE|URL"] if result.plan else [],
    )
