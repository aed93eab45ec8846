"""``stackctl up``: the stack, on its Ollama, verified from every consumer."""

from __future__ import annotations

from stackctl.commands.context.project_loader import load, resolve_project
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile.ahead import Ahead
from stackctl.commands.reconcile.observe import read_state
from stackctl.config.target import resolve
from stackctl.outcome import Outcome


def up(
    session: Session, profile: str | None, *, timeout: float = 300.0, dry_run: bool = False, ahead: Ahead | None = None
) -> Outcome:
    """Bring the stack up on ``profile``, on the target in force, or on the default one.

    ``timeout`` is in seconds and bounds the wait for health.
    """
    ahead = ahead or Ahead()
    state = read_state(session)
    stack = load(session, environment=state.environment if state else None)
    if profile:
        # Before the lock says what it is held for: a URL that is refused may hold a password.
        resolve(stack.config, profile)
    if ahead.call is None:
        ahead.ask_config(session.engine, stack.call)
    if stack.config.local.gpu == "auto":
        ahead.ask(session.engine.info)
    # What follows takes as long to load as Compose takes to read the project.
    from stackctl.commands.context.state_directory import workspace  # noqa: PLC0415
    from stackctl.commands.reconcile import report  # noqa: PLC0415
    from stackctl.commands.reconcile.pipeline import Options, Request, bring  # noqa: PLC0415
    from stackctl.commands.reconcile.prepare import choose_profile  # noqa: PLC0415
    from stackctl.commands.reconcile.recover import recover  # noqa: PLC0415
    from stackctl.commands.reconcile.sealing import Sealing, seal  # noqa: PLC0415

    project, stack = resolve_project(session, stack, ahead)
    options = Options(
        "up", everything=True, dry_run=dry_run, health_timeout=timeout, on_unreachable=stack.config.on_unreachable
    )
    with workspace(session, f"up {profile or ''}".strip()):
        recovered = recover(session, stack, project, dry_run=dry_run)
        # Another stackctl may have come and gone before the lock was ours.
        before, state = state, read_state(session)
        name = choose_profile(stack, project, state, profile)
        request = Request(session, stack, project, name, state, options)
        result = bring(request, ahead=None if recovered or state != before else ahead)
        target = result.prepared.target
        where = f"{project.name} is up on {target.name}"
        unchanged = f"{where}; nothing to do"
        if not dry_run:
            seal(Sealing(session, stack, project, result, unchanged, ahead.began))
    return report.brought(
        result,
        report.UP,
        changed=f"{where} ({report.TARGET_WORDS[target.kind]})",
        unchanged=unchanged,
        next_steps=["stackctl status", "stackctl switch PROFILE|URL"] if result.plan else [],
    )
