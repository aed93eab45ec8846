"""The road that ``up``, ``switch`` and ``rollback`` share: observe, plan, apply, verify, keep or undo."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stackctl.commands import gatewaying
from stackctl.commands.ahead import Ahead, remember
from stackctl.commands.asking import How, how_to_ask
from stackctl.commands.execute import StackExecutor, Work, verify_message
from stackctl.commands.observe import AUDIT, JOURNAL, OVERRIDE, STATE, observe, read_state, read_text, together
from stackctl.commands.prepare import Prepared, prepare
from stackctl.commands.session import Session
from stackctl.commands.stack import Stack, with_override
from stackctl.commands.trying import try_target
from stackctl.commands.verify import Verified, containers_of, verify
from stackctl.commands.workspace import candidate
from stackctl.config.target import further
from stackctl.errors import StackctlError, TargetUnfit
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.project.localollama import server_port
from stackctl.transaction.apply import Transaction, apply
from stackctl.transaction.journal import Snapshot
from stackctl.transaction.observed import Observed, changes
from stackctl.transaction.plan import (
    ComposeUp,
    CreateNetwork,
    EnsureModels,
    Plan,
    RemoveContainer,
    SaveState,
    VerifyConsumers,
    Wanted,
    plan_apply,
)
from stackctl.transaction.state import State


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
class Brought:
    """What came of it."""

    prepared: Prepared
    plan: Plan
    verified: Sequence[Verified]
    state: State | None
    degraded: str | None = None
    applied: bool = True
    warnings: Sequence[str] = field(default=())


def hashes_of(session: Session, stack: Stack, prepared: Prepared) -> dict[str, str]:
    """Compose's hashes with the new override, from a temporary file: this validates it before anything is touched."""
    call = with_override(session, stack)
    if read_text(session, OVERRIDE) == prepared.override.text:
        return session.engine.hashes(replace(call, variables=prepared.variables))
    with candidate(session, prepared.override.text) as path:
        return session.engine.hashes(replace(with_override(session, stack, path), variables=prepared.variables))


def bring(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    name: str,
    state: State | None,
    options: Options,
    *,
    ahead: Ahead | None = None,
    without: Sequence[str] = (),
) -> Brought:
    """Bring the stack to the target ``name``. The caller holds the lock and has recovered.

    ``without`` are members of the profile ``name`` that proved unfit. Raises
    :class:`TargetUnfit` with nothing touched, or what :func:`apply` raises.
    """
    session.engine.compose_version()
    prepared = prepare(session, stack, project, name, pins=state.pins if state else {}, without=without)
    how = how_to_ask(session, stack, prepared.target)
    shared = stack.config.network.shared
    networks = [shared] if shared else []
    with together() as start:
        # Where nothing seems to differ, the consumers are asked while Compose still computes its hashes.
        guess = _likely_unchanged(session, prepared, state)
        seen = start(
            lambda: observe(session, project, state, networks=networks, services=list(project.services), ahead=ahead)
        )
        asked = start(lambda: _ask_now(session, stack, prepared, how, seen.result())) if guess else None
        known = ahead.hashes(stack.call, prepared.override.text) if ahead else None
        hashes = known if known is not None else hashes_of(session, stack, prepared)
        observed: Observed = seen.result()
        early: list[Verified] | None = asked.result() if asked else None
    if _is_own_server(stack, project, prepared, observed):
        session.reporter.note(f"{prepared.target.url} is this stack's own Ollama container: the profile `local`")
        return bring(session, stack, project, "local", state, options)
    active = [c for c in stack.config.consumers if c in hashes]
    moved = prepared.gateway is not None and gatewaying.secrets_moved(session, stack, observed.containers)
    wanted = _wanted(stack, prepared, hashes, active, options, secrets_moved=moved)
    plan = plan_apply(project, wanted, observed)
    if options.dry_run:
        return Brought(prepared, plan, (), state, applied=False, warnings=prepared.warnings)
    for warning in prepared.warnings if plan else ():
        session.reporter.warn(warning)
    told = {c: prepared.override.told[c] for c in active}
    if not plan:
        return _unchanged(
            session, stack, project, prepared, how, observed, state, options, told, early, wanted, without
        )
    degraded: str | None = None
    if prepared.target.kind in ("instance", "gateway"):
        verdict = try_target(
            session,
            stack,
            project,
            prepared,
            how,
            observed.containers,
            told,
            deep=options.deep,
            assume_yes=options.assume_yes,
        )
        if verdict.pins and not _same_pins(prepared, verdict.pins):
            merged = replace(state, pins={**state.pins, **verdict.pins}) if state else _pin_only(project, verdict.pins)
            return bring(session, stack, project, name, merged, options, without=without)
        if verdict.reason:
            if (next_one := _next_member(session, stack, prepared, without, verdict.reason)) is not None:
                return bring(session, stack, project, name, state, options, without=next_one)
            if options.on_unreachable == "fail":
                hint = verdict.hint or f"stackctl diagnose --profile {name}"
                raise TargetUnfit(verdict.reason, hint=hint, target=name)
            if options.on_unreachable == "local" and name != "local":
                session.reporter.warn(f"{verdict.reason}; on_unreachable: local takes over")
                return bring(session, stack, project, "local", state, options)
            degraded = verdict.reason
            session.reporter.warn(f"coming up degraded: {degraded}")
    work = _work(session, stack, project, prepared, how, hashes, state, options, degraded, observed, plan)
    _apply(session, work, plan, observed, options)
    return Brought(prepared, plan, work.verified, read_state(session), degraded, warnings=prepared.warnings)


def _next_member(
    session: Session, stack: Stack, prepared: Prepared, without: Sequence[str], reason: str
) -> list[str] | None:
    """Members to leave out now, where a profile without a gateway has another that may serve; else None."""
    if stack.config.gateway or prepared.target.kind != "instance":
        return None
    unfit = [*without, *prepared.target.instances]
    left = further(stack.config, prepared.target.name, unfit)
    if not left:
        return None
    session.reporter.warn(f"{reason}; {left[0]} takes its place in {prepared.target.name}")
    return unfit


def _is_own_server(stack: Stack, project: ComposeProject, prepared: Prepared, observed: Observed) -> bool:
    """Whether an address elsewhere is answered by the container that this very target would switch off."""
    local = stack.config.local.service
    if prepared.target.kind != "instance" or stack.config.network.shared or not observed.of(local):
        return False
    own = project.services.get(local)
    return prepared.target.url.host in ({local} | (own.answers_to() if own else set()))


def _likely_unchanged(session: Session, prepared: Prepared, state: State | None) -> bool:
    return (
        state is not None
        and state.verified is not None
        and state.override == prepared.override.digest
        and read_text(session, OVERRIDE) == prepared.override.text
    )


def _ask_now(session: Session, stack: Stack, prepared: Prepared, how: How, observed: Observed) -> list[Verified]:
    running = containers_of(stack.config, observed.containers)
    return verify(session, stack, {c: u for c, u in prepared.override.told.items() if c in running}, how, running)


def _pin_only(project: ComposeProject, pins: Mapping[str, str]) -> State:
    return State(project.name, None, "", "", None, "", pins=pins)


def _same_pins(prepared: Prepared, pins: Mapping[str, str]) -> bool:
    return all(prepared.target.pins.get(k) == v for k, v in pins.items())


def _wanted(
    stack: Stack,
    prepared: Prepared,
    hashes: Mapping[str, str],
    consumers: list[str],
    options: Options,
    *,
    secrets_moved: bool = False,
) -> Wanted:
    target, gateway = prepared.target, prepared.gateway
    return Wanted(
        override=prepared.override,
        hashes=hashes,
        models=target.models if target.needs_local else (),
        consumers=tuple(consumers),
        local_service=stack.config.local.service if target.needs_local else None,
        local_off=_off_services(stack, prepared),
        everything=options.everything,
        gateway_service=gateway.part.name if gateway else None,
        gateway_text=gateway.text if gateway else None,
        gateway_digest=gateway.digest if gateway else "",
        gateway_secrets_moved=secrets_moved,
    )


def _off_services(stack: Stack, prepared: Prepared) -> tuple[str, ...]:
    if prepared.target.needs_local:
        return ()
    return prepared.override.off or (stack.config.local.service,)


def _unchanged(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    prepared: Prepared,
    how: How,
    observed: Observed,
    state: State | None,
    options: Options,
    told: Mapping[str, Any],
    early: list[Verified] | None,
    wanted: Wanted,
    without: Sequence[str],
) -> Brought:
    running = containers_of(stack.config, observed.containers)
    complete = early is not None and {v.consumer for v in early} == set(told) and all(v.ok for v in early)
    verified = early if early is not None and complete else verify(session, stack, told, how, running)
    bad = [v for v in verified if not v.ok]
    if not bad:
        stale = state is None or state.verified is None or state.profile != prepared.target.name
        if state is None or stale or dict(state.call) != remember(stack.call):
            work = _work(session, stack, project, prepared, how, wanted.hashes, state, options, None, observed, Plan())
            saved = work.make_state(session.engine.containers(project.name))
            session.files.write(session.state_directory / STATE, saved.to_json().encode())
            state = saved
        return Brought(prepared, Plan(), verified, state)
    if wanted.local_service and wanted.models and all(v.reach.failed and v.reach.failed.id == "model" for v in bad):
        models = EnsureModels("one of them is not there", wanted.local_service, wanted.models)
        plan = Plan((models, VerifyConsumers("the models have changed", tuple(told)), SaveState("verified")))
        work = _work(session, stack, project, prepared, how, wanted.hashes, state, options, None, observed, plan)
        _apply(session, work, plan, observed, options)
        return Brought(prepared, plan, work.verified, read_state(session))
    reason = verify_message(bad)
    if (next_one := _next_member(session, stack, prepared, without, reason)) is not None:
        return bring(session, stack, project, prepared.target.name, state, options, without=next_one)
    if options.on_unreachable == "degrade":
        if state is not None:
            state = replace(state, verified=None, degraded=reason)
            session.files.write(session.state_directory / STATE, state.to_json().encode())
        return Brought(prepared, Plan(), verified, state, degraded=reason)
    if options.on_unreachable == "local" and not prepared.target.is_local:
        session.reporter.warn(f"{reason}; on_unreachable: local takes over")
        return bring(session, stack, project, "local", state, options)
    raise TargetUnfit(f"nothing was changed, and {reason}", hint="stackctl diagnose")


def _work(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    prepared: Prepared,
    how: How,
    hashes: Mapping[str, str],
    state: State | None,
    options: Options,
    degraded: str | None,
    observed: Observed,
    plan: Plan,
) -> Work:
    target = prepared.target
    # What differs and is left alone by a switch still differs afterwards: its hash is not recorded as in force.
    left = set(changes(project, hashes, observed)) - {
        s for step in plan.steps if isinstance(step, ComposeUp) for s in step.services
    }
    before = state.computed if state else {}
    computed = {s: h for s, h in hashes.items() if s not in left} | {s: before[s] for s in left if s in before}

    def make_state(containers: Sequence[Container]) -> State:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(session.clock()))
        previous = state.previous if state else None
        if state and state.profile and state.profile != target.name and state.verified:
            previous = state.profile
        return State(
            project=project.name,
            environment=stack.environment,
            profile=target.name,
            url=str(target.url),
            verified=None if degraded else moment,
            override=prepared.override.digest,
            degraded=degraded,
            pins=dict(target.pins),
            computed=computed,
            labels={c.service: c.config_hash for c in containers},
            previous=previous,
            call=remember(stack.call),
            networks=(stack.config.network.shared,) if stack.config.network.shared else (),
        )

    own = project.services.get(stack.config.local.service)
    return Work(
        session=session,
        stack=stack,
        project=project,
        variables=prepared.variables,
        told=prepared.override.told,
        how=how,
        make_state=make_state,
        health_timeout=options.health_timeout,
        tolerate_unreachable=degraded is not None,
        local_port=server_port(own),
    )


def _apply(session: Session, work: Work, plan: Plan, observed: Observed, options: Options) -> None:
    state_text = read_text(session, STATE)
    before = observed.state.profile if observed.state and observed.state.profile else None
    purpose = f"{options.verb} {work.make_state(()).profile}"
    transaction = Transaction(
        plan=plan,
        purpose=purpose,
        environment=work.stack.environment,
        snapshot=Snapshot.of(observed, state_text),
        journal_path=session.state_directory / JOURNAL,
    )
    outcome = "failed"
    begun = session.clock()
    if any(isinstance(step, RemoveContainer | CreateNetwork) for step in plan.steps):
        session.engine.get_ready()
    try:
        apply(transaction, StackExecutor(work), session.files, session.clock)
        outcome = "degraded" if work.tolerate_unreachable else "verified"
    except BaseException as error:
        outcome = "rollback failed" if getattr(error, "code", 0) == 4 else "undone"
        raise
    finally:
        audit(session, options.verb, before, work.make_state(()), outcome, begun)


def audit(session: Session, verb: str, before: str | None, state: State, outcome: str, begun: float) -> None:
    """One line to ``audit.log``; a full disk must not turn a good switch into a failed one."""
    entry = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)),
        "user": _user(),
        "verb": verb,
        "environment": state.environment,
        "from": before,
        "to": state.profile,
        "url": state.url,
        "outcome": outcome,
        "seconds": round(session.clock() - begun, 2),
    }
    try:
        session.files.append(session.state_directory / AUDIT, json.dumps(entry))
    except StackctlError as error:
        session.reporter.warn(f"the audit line was not written: {error.message}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
