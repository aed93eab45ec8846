"""The road that ``up``, ``switch`` and ``rollback`` share: observe, plan, apply, verify, keep or undo."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stackctl.commands.context.made_from import refuse_other_files
from stackctl.commands.context.project_loader import Stack, with_override
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import candidate
from stackctl.commands.reconcile import gateway_control
from stackctl.commands.reconcile.executor import StackExecutor, Work, verify_message
from stackctl.commands.reconcile.held_networks import refuse_held
from stackctl.commands.reconcile.observe import (
    AUDIT,
    JOURNAL,
    OVERRIDE,
    STATE,
    observe,
    read_state,
    read_text,
    together,
)
from stackctl.commands.reconcile.preflight import try_target
from stackctl.commands.reconcile.prepare import Prepared, prepare
from stackctl.commands.reconcile.request_settings import How, how_to_ask
from stackctl.commands.reconcile.verify import Verified, containers_of, verify
from stackctl.config.target import further
from stackctl.config.url import OllamaUrl
from stackctl.errors import StackctlError, TargetUnfit
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.project.localollama import server_port
from stackctl.transaction.apply import Transaction, apply
from stackctl.transaction.journal import Snapshot
from stackctl.transaction.observed import Observed, recorded
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
    ground: Ground | None = None


@dataclass(frozen=True)
class Request:
    """What is asked for.

    ``state`` is that of the last run, ``without`` are members of the profile ``name`` that
    proved unfit, and ``degraded`` is why the stack is to come up although its target cannot serve it.
    """

    session: Session
    stack: Stack
    project: ComposeProject
    name: str
    state: State | None
    options: Options
    without: tuple[str, ...] = ()
    degraded: str | None = None


@dataclass(frozen=True)
class Ground:
    """What a request means here and now: its target, Compose's hashes with its override, what is there."""

    prepared: Prepared
    how: How
    hashes: Mapping[str, str]
    observed: Observed

    @property
    def told(self) -> dict[str, OllamaUrl]:
        """What each consumer is told that Compose would start."""
        return {c: url for c, url in self.prepared.override.told.items() if c in self.hashes}


def hashes_of(session: Session, stack: Stack, prepared: Prepared) -> dict[str, str]:
    """Compose's hashes with the new override, from a temporary file: this validates it before anything is touched."""
    call = with_override(session, stack)
    if read_text(session, OVERRIDE) == prepared.override.text:
        return session.engine.hashes(replace(call, variables=prepared.variables))
    with candidate(session, prepared.override.text) as path:
        return session.engine.hashes(replace(with_override(session, stack, path), variables=prepared.variables))


def bring(request: Request) -> Brought:
    """Bring the stack to a target. The caller holds the lock and has recovered.

    Raises :class:`TargetUnfit` with nothing touched, or what :func:`apply` raises.
    """
    session, stack, state, options = request.session, request.stack, request.state, request.options
    session.engine.compose_version()
    ground, early = _survey(request)
    prepared, observed = ground.prepared, ground.observed
    refuse_other_files(session, stack, observed.containers)
    if _is_own_server(request, ground):
        session.reporter.note(f"{prepared.target.url} is this stack's own Ollama container: the profile `local`")
        return bring(replace(request, name="local", without=()))
    moved = prepared.gateway is not None and gateway_control.secrets_moved(session, stack, observed.containers)
    wanted = _wanted(request, ground, secrets_moved=moved)
    plan = plan_apply(request.project, wanted, observed)
    if options.dry_run:
        return Brought(prepared, plan, (), state, applied=False, warnings=prepared.warnings)
    for warning in prepared.warnings if plan else ():
        session.reporter.warn(warning)
    if not plan:
        return _unchanged(request, ground, wanted, early)
    refuse_held(session, request.project, plan, observed)
    if prepared.target.kind in ("instance", "gateway") and request.degraded is None:
        verdict = try_target(
            session,
            stack,
            request.project,
            prepared,
            ground.how,
            observed.containers,
            ground.told,
            deep=options.deep,
            assume_yes=options.assume_yes,
        )
        if verdict.pins and not _same_pins(prepared, verdict.pins):
            return bring(replace(request, state=_pinned(request, verdict.pins)))
        if verdict.reason:
            hint = verdict.hint or f"stackctl diagnose --profile {request.name}"
            refusal = TargetUnfit(verdict.reason, hint=hint, target=request.name)
            return _otherwise(request, prepared, verdict.reason, refusal)
    work = _work(request, ground, plan)
    _apply(work, plan, observed, options)
    state = read_state(session)
    return Brought(prepared, plan, work.verified, state, request.degraded, warnings=prepared.warnings, ground=ground)


def _survey(request: Request) -> tuple[Ground, list[Verified] | None]:
    """Look at everything at once; with it what the consumers said, where nothing seemed to differ."""
    session, stack, project, state = request.session, request.stack, request.project, request.state
    pins = state.pins if state else {}
    prepared = prepare(session, stack, project, request.name, pins=pins, without=request.without)
    how = how_to_ask(session, stack, prepared.target)
    shared = stack.config.network.shared
    networks = [shared] if shared else []
    with together() as start:
        # Where nothing seems to differ, the consumers are asked while Compose still computes its hashes.
        guess = _likely_unchanged(session, prepared, state)
        seen = start(lambda: observe(session, project, state, networks=networks, services=list(project.services)))
        asked = start(lambda: _ask_now(session, stack, prepared, how, seen.result())) if guess else None
        hashes = hashes_of(session, stack, prepared)
        early: list[Verified] | None = asked.result() if asked else None
        return Ground(prepared, how, hashes, seen.result()), early


def _others(request: Request, prepared: Prepared) -> list[str]:
    """Members of the profile, without a gateway, that were not tried yet."""
    if request.stack.config.gateway or prepared.target.kind != "instance":
        return []
    return further(request.stack.config, prepared.target.name, (*request.without, *prepared.target.instances))


def _otherwise(request: Request, prepared: Prepared, reason: str, refusal: TargetUnfit) -> Brought:
    """What the user chose for a target that cannot serve: another member, the local server, degraded, or a refusal."""
    session, policy, name = request.session, request.options.on_unreachable, prepared.target.name
    if others := _others(request, prepared):
        session.reporter.warn(f"{reason}; {others[0]} takes its place in {name}")
        return bring(replace(request, without=(*request.without, *prepared.target.instances)))
    if policy == "local" and not prepared.target.is_local:
        session.reporter.warn(f"{reason}; on_unreachable: local takes over")
        return bring(replace(request, name="local", without=()))
    if policy == "degrade":
        session.reporter.warn(f"coming up degraded: {reason}")
        # Of several that cannot serve, the one that is wanted first is waited for.
        return bring(replace(request, without=(), degraded=reason))
    raise refusal


def _is_own_server(request: Request, ground: Ground) -> bool:
    """Whether an address elsewhere is answered by the container that this very target would switch off."""
    config, target = request.stack.config, ground.prepared.target
    local = config.local.service
    if target.kind != "instance" or config.network.shared or not ground.observed.of(local):
        return False
    own = request.project.services.get(local)
    return target.url.host in ({local} | (own.answers_to() if own else set()))


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


def _pinned(request: Request, pins: Mapping[str, str]) -> State:
    """The state with pins that turned out to be needed."""
    if request.state is None:
        return State(request.project.name, None, "", "", None, "", pins=pins)
    return replace(request.state, pins={**request.state.pins, **pins})


def _same_pins(prepared: Prepared, pins: Mapping[str, str]) -> bool:
    return all(prepared.target.pins.get(k) == v for k, v in pins.items())


def _wanted(request: Request, ground: Ground, *, secrets_moved: bool = False) -> Wanted:
    stack, prepared = request.stack, ground.prepared
    target, gateway = prepared.target, prepared.gateway
    return Wanted(
        override=prepared.override,
        hashes=ground.hashes,
        models=target.models if target.needs_local else (),
        consumers=tuple(c for c in stack.config.told if c in ground.hashes),
        local_service=stack.config.local.service if target.needs_local else None,
        local_off=_off_services(stack, prepared),
        everything=request.options.everything,
        gateway_service=gateway.part.name if gateway else None,
        gateway_text=gateway.text if gateway else None,
        gateway_digest=gateway.digest if gateway else "",
        gateway_secrets_moved=secrets_moved,
    )


def _off_services(stack: Stack, prepared: Prepared) -> tuple[str, ...]:
    if prepared.target.needs_local:
        return ()
    return prepared.override.off or (stack.config.local.service,)


def _unchanged(request: Request, ground: Ground, wanted: Wanted, early: list[Verified] | None) -> Brought:
    """Nothing is to be done, if every consumer says so too."""
    session, stack, state = request.session, request.stack, request.state
    prepared, told = ground.prepared, ground.told
    running = containers_of(stack.config, ground.observed.containers)
    complete = early is not None and {v.consumer for v in early} == set(told) and all(v.ok for v in early)
    verified = early if early is not None and complete else verify(session, stack, told, ground.how, running)
    bad = [v for v in verified if not v.ok]
    if not bad:
        stale = state is None or state.verified is None or state.profile != prepared.target.name
        if state is None or stale:
            work = _work(replace(request, degraded=None), ground, Plan())
            state = work.make_state(session.engine.containers(request.project.name))
            session.files.write(session.state_directory / STATE, state.to_json().encode())
        return Brought(prepared, Plan(), verified, state, ground=ground)
    if wanted.local_service and wanted.models and all(v.reach.failed and v.reach.failed.id == "model" for v in bad):
        models = EnsureModels("one of them is not there", wanted.local_service, wanted.models)
        plan = Plan((models, VerifyConsumers("the models have changed", tuple(told)), SaveState("verified")))
        work = _work(request, ground, plan)
        _apply(work, plan, ground.observed, request.options)
        return Brought(prepared, plan, work.verified, read_state(session))
    reason = verify_message(bad)
    alone = not request.without and not _others(request, prepared)
    if request.degraded is None and not (alone and request.options.on_unreachable == "degrade"):
        refusal = TargetUnfit(f"nothing was changed, and {reason}", hint="stackctl diagnose")
        return _otherwise(request, prepared, reason, refusal)
    if state is not None:
        state = replace(state, verified=None, degraded=reason)
        session.files.write(session.state_directory / STATE, state.to_json().encode())
    return Brought(prepared, Plan(), verified, state, degraded=reason)


def _work(request: Request, ground: Ground, plan: Plan) -> Work:
    session, stack, project, state = request.session, request.stack, request.project, request.state
    target, override = ground.prepared.target, ground.prepared.override
    brought = {s for step in plan.steps if isinstance(step, ComposeUp) for s in step.services}
    record = recorded(project, ground.hashes, ground.observed, stack.config.local.service, brought)

    def make_state(containers: Sequence[Container]) -> State:
        labels = {c.service: c.config_hash for c in containers}
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(session.clock()))
        previous = state.previous if state else None
        if state and state.profile and state.profile != target.name and state.verified:
            previous = state.profile
        return State(
            project=project.name,
            environment=stack.environment,
            profile=target.name,
            url=str(target.url),
            verified=None if request.degraded else moment,
            override=override.digest,
            degraded=request.degraded,
            pins=dict(target.pins),
            computed=record.computed,
            labels=labels,
            environments={s: d for s, d in record.environments.items() if labels.get(s) != record.computed.get(s)},
            previous=previous,
            attached=record.attached,
            networks=(stack.config.network.shared,) if stack.config.network.shared else (),
        )

    own = project.services.get(stack.config.local.service)
    return Work(
        session=session,
        stack=stack,
        project=project,
        variables=ground.prepared.variables,
        told=override.told,
        how=ground.how,
        make_state=make_state,
        health_timeout=request.options.health_timeout,
        tolerate_unreachable=request.degraded is not None,
        local_port=server_port(own),
    )


def _apply(work: Work, plan: Plan, observed: Observed, options: Options) -> None:
    session = work.session
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
