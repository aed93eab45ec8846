"""``stackctl rollback``: back to the verified target before this one, or out of a transaction that did not end."""

from __future__ import annotations

from stackctl.commands.context.project_loader import load_in_force, resolve_project
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import read_state, workspace
from stackctl.commands.reconcile.pipeline import Options
from stackctl.commands.reconcile.prepare import choose_profile
from stackctl.commands.reconcile.recover import recover, unfinished
from stackctl.commands.reconcile.switch import switch_to
from stackctl.errors import ExpectedFailure
from stackctl.outcome import Line, Outcome


def rollback(session: Session, *, timeout: float = 300.0) -> Outcome:
    """Undo an unfinished transaction, or go back to the verified target before this one."""
    state, stack = load_in_force(session)
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
        options = Options("rollback", everything=False, assume_yes=True, health_timeout=timeout)
        return switch_to(session, stack, project, state.previous, state, options)
