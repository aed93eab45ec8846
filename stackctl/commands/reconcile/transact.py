"""Apply one plan as a transaction: under the journal, undone on any failure, with a line in the audit log."""

from __future__ import annotations

from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import JOURNAL, STATE, journal_identity, read_text
from stackctl.commands.reconcile.audit import audit
from stackctl.commands.reconcile.executor import ExecutorInput, StackExecutor
from stackctl.commands.reconcile.situation import Situation
from stackctl.commands.reconcile.verify import Verified
from stackctl.errors import RollbackFailed
from stackctl.project.compose import ComposeProject
from stackctl.project.localollama import server_port
from stackctl.transaction.apply import Transaction, apply
from stackctl.transaction.journal import Snapshot
from stackctl.transaction.observed import recorded
from stackctl.transaction.state import State
from stackctl.transaction.steps import ComposeUp, CreateNetwork, Plan, RemoveContainer


def draft_state(
    stack: Stack, project: ComposeProject, situation: Situation, plan: Plan, state: State | None, degraded: str | None
) -> State:
    """The state to save once the plan is carried out, but for what only its containers can tell then.

    ``state`` is that in force now. ``degraded`` is why the target cannot serve, None for one that is verified.
    """
    target, config = situation.prepared.target, stack.config
    brought = {s for step in plan.steps if isinstance(step, ComposeUp) for s in step.services}
    record = recorded(project, situation.hashes, situation.observed, config.local.service, brought)
    moves = state is not None and state.profile and state.profile != target.name and state.verified
    return State(
        project=project.name,
        environment=stack.environment,
        profile=target.name,
        url=str(target.url),
        verified=None,
        override=situation.prepared.override.digest,
        degraded=degraded,
        pins=dict(target.pins),
        computed=record.computed,
        environments=record.environments,
        previous=(state.profile if moves else state.previous) if state else None,
        attached=record.attached,
        durations=state.durations if state else {},
        networks=(config.network.shared,) if config.network.shared else (),
    )


def transact(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    situation: Situation,
    plan: Plan,
    draft: State,
    *,
    verb: str,
    health_timeout: float,
) -> list[Verified]:
    """Carry the plan out, and return what each consumer answered; ``health_timeout`` is in seconds.

    Raises what :func:`apply` raises: the failure of a step, with everything undone.
    """
    executor = StackExecutor(
        ExecutorInput(
            session=session,
            stack=stack,
            project=project,
            variables=situation.prepared.variables,
            urls=situation.prepared.override.told,
            settings=situation.settings,
            state=draft,
            health_timeout=health_timeout,
            local_port=server_port(project.services.get(stack.config.local.service)),
        )
    )
    in_force = situation.observed.state
    transaction = Transaction(
        plan=plan,
        purpose=f"{verb} {draft.profile}",
        environment=stack.environment,
        snapshot=Snapshot.of(situation.observed, read_text(session, STATE)),
        journal_path=session.state_directory / JOURNAL,
        sign=lambda text: session.trust.sign(journal_identity(session, text)),
    )
    outcome = "undone"
    begun = session.clock()
    if any(isinstance(step, RemoveContainer | CreateNetwork) for step in plan.steps):
        session.engine.get_ready()
    try:
        apply(transaction, executor, session.files, session.clock)
        outcome = "degraded" if draft.degraded else "verified"
    except RollbackFailed:
        outcome = "rollback failed"
        raise
    finally:
        audit(session, verb, in_force.profile if in_force else None, draft, outcome, begun)
    return executor.verified
