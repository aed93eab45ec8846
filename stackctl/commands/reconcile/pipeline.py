"""The road that ``up``, ``switch`` and ``rollback`` share.

The candidates are resolved to a list first. For each of them: prepare and
observe → plan → preflight (where the plan changes something) → apply, which
verifies and keeps or undoes. The first candidate that can serve ends it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stackctl.commands.context.made_from import refuse_other_files
from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import read_state, rfc3339, write_state
from stackctl.commands.reconcile.candidates import candidates
from stackctl.commands.reconcile.preflight import Fitness, preflight
from stackctl.commands.reconcile.situation import Situation, is_own_server, prepare_and_observe, wanted
from stackctl.commands.reconcile.transact import draft_state, transact
from stackctl.commands.reconcile.uncarried import refuse_uncarried
from stackctl.commands.reconcile.verify import Verified, containers_of, lacks_models_only, verify, verify_message
from stackctl.config.target import Target
from stackctl.errors import TargetUnfit
from stackctl.project.compose import ComposeProject
from stackctl.transaction.costs import recreated, told
from stackctl.transaction.planning import Wanted, plan_apply, plan_models
from stackctl.transaction.state import State, completed
from stackctl.transaction.steps import Plan


@dataclass(frozen=True)
class Options:
    """How to go about it. ``everything``: all active services (``up``), or those concerned (``switch``)."""

    verb: str
    everything: bool
    dry_run: bool = False
    assume_yes: bool = False
    deep: bool = False
    health_timeout: float = 300.0
    on_unreachable: str = "fail"


@dataclass(frozen=True)
class Reconciled:
    """What came of it: the target, the plan, what each consumer answered, the state that is in force now."""

    target: Target
    plan: Plan
    verified: Sequence[Verified]
    state: State | None
    degraded: str | None = None
    applied: bool = True
    warnings: Sequence[str] = ()
    recreates: Mapping[str, float | None] = field(default_factory=dict)
    """Running services that are made anew, with the seconds that it took last time."""


def reconcile(
    session: Session, stack: Stack, project: ComposeProject, name: str, state: State | None, options: Options
) -> Reconciled:
    """Bring the stack to the profile or URL ``name``. The caller holds the lock and has recovered.

    ``state`` is that of the last run. Raises :class:`TargetUnfit` with nothing
    touched where no candidate can serve, or what :func:`transact` raises.
    """
    session.engine.compose_version()
    waiting = deque(candidates(stack.config, name, options.on_unreachable))
    pins = dict(state.pins) if state else {}
    reason = ""
    while True:
        candidate = waiting.popleft()
        situation = prepare_and_observe(session, stack, project, candidate, state, pins)
        refuse_other_files(session, stack, situation.observed.containers)
        refuse_uncarried(stack, situation.prepared.target)
        target, warnings = situation.prepared.target, situation.prepared.warnings
        if is_own_server(session, stack, project, situation):
            session.reporter.note(f"{target.url} is this stack's own Ollama container: the profile `local`")
            waiting = deque(candidates(stack.config, "local", options.on_unreachable))
            continue
        goal = wanted(stack, project, situation, everything=options.everything, degraded=candidate.degraded)
        plan = plan_apply(project, goal, situation.observed)
        cost = recreated(plan, situation.observed, stack.config.local.service)
        if options.dry_run:
            return Reconciled(target, plan, (), state, applied=False, warnings=warnings, recreates=cost)
        if plan:
            _announce(session, warnings, told(cost, gateway=bool(stack.config.gateway)))
            fitness = (
                Fitness()
                if candidate.degraded
                else preflight(session, stack, project, situation, deep=options.deep, assume_yes=options.assume_yes)
            )
        else:
            plan, fitness = _ask_in_place(session, stack, situation, goal)
        if fitness.pins:
            pins |= fitness.pins
            waiting.appendleft(candidate)
        elif not fitness.reason or candidate.degraded:
            break
        elif waiting:
            reason = fitness.reason
            session.reporter.warn(waiting[0].announce(reason))
        else:
            raise _refusal(target, plan, fitness)
    if not plan:
        kept = _keep(session, stack, project, situation, state, fitness.reason or None)
        return Reconciled(target, plan, fitness.answers, kept, fitness.reason or None, warnings=warnings)
    degraded = reason if candidate.degraded else None
    draft = draft_state(stack, project, situation, plan, state, degraded)
    answers = transact(
        session, stack, project, situation, plan, draft, verb=options.verb, health_timeout=options.health_timeout
    )
    return Reconciled(target, plan, answers, read_state(session), degraded, warnings=warnings, recreates=cost)


def _announce(session: Session, warnings: Sequence[str], cost: str) -> None:
    """Say before anything is touched what will bite later, and what the change costs."""
    for warning in warnings:
        session.reporter.warn(warning)
    if cost:
        session.reporter.note(cost)


def _refusal(target: Target, plan: Plan, fitness: Fitness) -> TargetUnfit:
    """The error where no candidate is left: the last one, ``target``, is not changed to, or is in force already."""
    if not plan:
        return TargetUnfit(f"nothing was changed, and {fitness.reason}", hint="stackctl diagnose")
    hint = fitness.hint or f"stackctl diagnose --profile {target.name}"
    return TargetUnfit(fitness.reason, hint=hint, target=target.name)


def _ask_in_place(session: Session, stack: Stack, situation: Situation, goal: Wanted) -> tuple[Plan, Fitness]:
    """Where nothing seems to differ: whether every consumer says so too, and the plan where a model is missing."""
    urls, answers = situation.urls, situation.answers
    if answers is None or {a.consumer for a in answers} != set(urls) or not all(a.ok for a in answers):
        running = containers_of(stack.config, situation.observed.containers)
        answers = verify(session, stack, urls, situation.settings, running)
    bad = [answer for answer in answers if not answer.ok]
    if not bad:
        return Plan(), Fitness(answers=answers)
    if lacks_models_only(bad) and (models := plan_models(goal)):
        return models, Fitness(answers=answers)
    return Plan(), Fitness(verify_message(bad), answers=answers)


def _keep(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    situation: Situation,
    state: State | None,
    degraded: str | None,
) -> State | None:
    """Bring ``state.json`` up to date where nothing had to be done; what is in force then."""
    if degraded is not None:
        kept = replace(state, verified=None, degraded=degraded) if state else None
    elif state and state.verified and state.profile == situation.prepared.target.name:
        return state
    else:
        draft = draft_state(stack, project, situation, Plan(), state, None)
        labels = {c.service: c.config_hash for c in session.engine.containers(project.name)}
        kept = completed(draft, labels, rfc3339(session.clock()))
    if kept is not None:
        write_state(session, kept)
    return kept
