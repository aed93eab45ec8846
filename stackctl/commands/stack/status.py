"""``stackctl status``: what runs, which Ollama each consumer really uses, and drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stackctl.commands.context.made_from import other_files
from stackctl.commands.context.project_loader import Stack, load_in_force, resolve_project
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import OVERRIDE, read_text
from stackctl.commands.reconcile import gateway_control
from stackctl.commands.reconcile.observe import in_parallel, observe
from stackctl.commands.reconcile.prepare import Prepared, choose_profile, prepare
from stackctl.commands.reconcile.recover import notice, unfinished
from stackctl.commands.reconcile.request_settings import request_settings_of
from stackctl.commands.reconcile.situation import hashes_of
from stackctl.commands.reconcile.told_address import name_of, told_url
from stackctl.commands.reconcile.verify import Verified, containers_of, verify
from stackctl.commands.stack.uses import alone_in_its_namespace, known_servers, seen_to_use
from stackctl.config.target import Target, passed_over, resolve
from stackctl.config.url import OllamaUrl
from stackctl.errors import StackctlError, Untrusted
from stackctl.outcome import Block, Line, Outcome, Table, Tone
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.transaction.observed import Observed, changes
from stackctl.transaction.sharing import with_sharers
from stackctl.transaction.state import State

NOT_RUNNING = "not running"


@dataclass(frozen=True)
class ConsumerStatus:
    """One consumer: what its container is told, and what answers there."""

    service: str
    configured: OllamaUrl | None
    reaches: str | None
    ok: bool
    reason: str
    off: bool = False
    """Switched off by its Compose profile or scaled to none, and so no failure."""
    uses: str | None = None
    """The Ollama that it has connections to, None where none is seen now."""


def status(session: Session) -> Outcome:
    """Look, and touch nothing."""
    state, stack = load_in_force(session)
    session.engine.connect_meanwhile()
    project, stack = resolve_project(session, stack)
    name = choose_profile(stack, project, state, None)
    observed = observe(
        session, project, state, networks=list(state.networks) if state else [], services=list(project.services)
    )
    with in_parallel() as start:
        asked = start(lambda: consumers(session, stack, observed.containers, state))
        drift, told = _drift(session, stack, project, observed, state, name)
        if (
            stack.config.gateway
            and state is not None
            and (notice := gateway_control.serving(session, observed.containers)[1])
        ):
            drift.append(notice)
        seen: list[ConsumerStatus] = [_off(s, project) for s in asked.result()]
    if not stack.config.gateway and name not in stack.config.profiles:
        seen = [replace(s, reaches=name) if s.reaches and _as_told(s, told) else s for s in seen]
    drift += (
        []
        if stack.config.gateway
        else [
            f"{s.service} is told {s.configured}, and not {name}: changed behind stackctl's back"
            for s in seen
            if state
            and s.configured
            and name_of(stack.config, s.configured) not in (state.profile, name, "gateway")
            and str(s.configured) != state.url
            and not _as_told(s, told)
        ]
    )
    drift += [
        f"the stack was made from {', '.join(names)} too, which {stack.file} does not name"
        for names in other_files(session, stack, observed.containers).values()
    ]
    return _outcome(stack, project, observed, state, name, seen, drift)


def _as_told(seen: ConsumerStatus, told: Mapping[str, OllamaUrl]) -> bool:
    """Whether it is told what the override says; a consumer on the host's network has an address of its own."""
    wanted, found = told.get(seen.service), seen.configured
    return bool(wanted and found and (wanted.host, wanted.port) == (found.host, found.port))


def consumers(
    session: Session, stack: Stack, containers: Sequence[Container], state: State | None
) -> list[ConsumerStatus]:
    """Every consumer of the file, asked from inside where it runs."""
    running = containers_of(stack.config, containers)
    told: dict[str, OllamaUrl] = {}
    for service, (container, *_) in running.items():
        if service not in stack.config.told:
            continue
        url = told_url(stack.config.consumers[service], container.environment, container.arguments)
        if url is None and state is not None and not stack.config.consumers[service].env:
            url = OllamaUrl.parse(state.url)
        if url is not None:
            told[service] = url
    answers: dict[str, Verified] = {}
    refused: dict[str, str] = {}
    for group in _by_name(stack, told).items():
        name, members = group
        try:
            settings = request_settings_of(session, stack, _target(stack, name))
        except Untrusted as error:
            refused |= dict.fromkeys(members, f"not asked: {error.message}")
            continue
        for result in verify(session, stack, members, replace(settings, models=()), running):
            answers[result.consumer] = result
    seen = [
        ConsumerStatus(service, told[service], None, ok=False, reason=refused[service])
        if service in refused
        else _seen(stack, service, running, told, answers)
        for service in stack.config.told
    ]
    known = known_servers(session, stack, containers) if answers else {}
    seen = [_with_uses(s, answers.get(s.service), running, containers, known) for s in seen]
    seen += _fixed(stack, containers, running)
    if stack.config.gateway and any(s.ok for s in seen):
        behind, _ = gateway_control.serving(session, containers)
        seen = [replace(s, reaches=behind) if s.ok else s for s in seen]
    return seen


def _with_uses(
    seen: ConsumerStatus,
    answer: Verified | None,
    running: Mapping[str, Sequence[Container]],
    containers: Sequence[Container],
    known: Mapping[tuple[str, int], str],
) -> ConsumerStatus:
    """What it is connected to beside what it is told; an app may keep an address of its own."""
    if answer is None or not all(alone_in_its_namespace(c, containers) for c in running[seen.service]):
        return seen
    uses, other = seen_to_use(answer, known)
    if other and seen.ok:
        reason = f"it is connected to {uses}, and not to what it is told: by settings that it keeps itself?"
        return replace(seen, uses=uses, ok=False, reason=reason)
    return replace(seen, uses=uses)


def _fixed(
    stack: Stack, containers: Sequence[Container], running: Mapping[str, Sequence[Container]]
) -> list[ConsumerStatus]:
    """Consumers that cannot be told otherwise: they are well while the local server runs."""
    local = stack.config.local.service
    there = any(c.service == local and c.state == "running" for c in containers)
    found = []
    for service, consumer in stack.config.consumers.items():
        if consumer.fixed is None:
            continue
        if service not in running:
            found.append(ConsumerStatus(service, None, None, ok=False, reason=NOT_RUNNING))
        elif there:
            found.append(ConsumerStatus(service, None, "local", ok=True, reason=f"fixed: {consumer.fixed}"))
        else:
            reason = f"{consumer.fixed} sends it to {local}, which does not run"
            found.append(ConsumerStatus(service, None, None, ok=False, reason=reason))
    return found


def _off(seen: ConsumerStatus, project: ComposeProject) -> ConsumerStatus:
    """A consumer that no active profile switches on, or that is scaled to none, is off as it should be."""
    service = project.services.get(seen.service)
    if seen.reason != NOT_RUNNING or service is None:
        return seen
    if service.is_scaled_to_none:
        return replace(seen, reason="off (scaled to 0)", off=True)
    if seen.service in project.active:
        return seen
    return replace(seen, reason=f"off (Compose profile {', '.join(service.profiles)})", off=True)


def _by_name(stack: Stack, told: Mapping[str, OllamaUrl]) -> dict[str, dict[str, OllamaUrl]]:
    groups: dict[str, dict[str, OllamaUrl]] = {}
    for service, url in told.items():
        groups.setdefault(name_of(stack.config, url), {})[service] = url
    return groups


def _target(stack: Stack, name: str) -> Target:
    try:
        return resolve(stack.config, name)
    except StackctlError:
        return resolve(stack.config, "local")


def _seen(
    stack: Stack,
    service: str,
    running: Mapping[str, Sequence[Container]],
    told: Mapping[str, OllamaUrl],
    answers: Mapping[str, Verified],
) -> ConsumerStatus:
    url = told.get(service)
    if service not in running:
        return ConsumerStatus(service, None, None, ok=False, reason=NOT_RUNNING)
    if url is None:
        return ConsumerStatus(service, None, None, ok=False, reason="its variables name no Ollama")
    answer = answers[service]
    reaches = name_of(stack.config, url) if answer.reach.ok else None
    return ConsumerStatus(service, url, reaches, ok=answer.ok, reason=answer.reason)


def _drift(
    session: Session, stack: Stack, project: ComposeProject, observed: Observed, state: State | None, name: str
) -> tuple[list[str], Mapping[str, OllamaUrl]]:
    found: list[str] = []
    if pending := unfinished(session):
        found.append(notice(session, pending))
    if state is None:
        return found, {}
    text = read_text(session, OVERRIDE)
    try:
        before = passed_over(stack.config, name, state.url)
        target = resolve(stack.config, name, without=before)
        prepared = prepare(session, stack, project, target, pins=state.pins, containers=observed.containers)
    except Untrusted as error:
        return [*found, f"not compared with what {name} would be: {error.message}"], {}
    except StackctlError as error:
        return [*found, f"{name} cannot be prepared any more: {error.message}"], {}
    if text is None:
        found.append("the override is gone")
    elif prepared.override.digest != state.override and text == prepared.override.text:
        found.append("the override was written for another state")
    elif text != prepared.override.text and not pending:
        edited = _digest(text) != state.override
        found.append("the override was edited by hand" if edited else _why_new_override(prepared, state))
    found += _changed_services(session, stack, project, observed, prepared)
    found += [
        f"{c.service} still runs, and {name} does not use it"
        for c in observed.containers
        if c.service in prepared.override.off and c.state == "running"
    ]
    return found, prepared.override.told


def _digest(text: str) -> str:
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(text.encode()).hexdigest()


def _why_new_override(prepared: Prepared, state: State) -> str:
    for host, address in prepared.target.pins.items():
        if state.pins.get(host, address) != address:
            return f"{host} is pinned to {state.pins[host]} and now resolves to {address}"
    return "stackctl.yaml or the project has changed since the last `stackctl up`"


def _changed_services(
    session: Session, stack: Stack, project: ComposeProject, observed: Observed, prepared: Prepared
) -> list[str]:
    hashes = hashes_of(session, stack, prepared)
    found = with_sharers(project, hashes, changes(project, hashes, observed, stack.config.local.service), observed)
    return [f"{service}: {cause}" for service, cause in found.items()]


def _outcome(
    stack: Stack,
    project: ComposeProject,
    observed: Observed,
    state: State | None,
    name: str,
    seen: Sequence[ConsumerStatus],
    drift: Sequence[str],
) -> Outcome:
    services = [
        {"name": c.service, "state": c.state, "health": c.health}
        for c in sorted(observed.containers, key=lambda c: c.name)
    ]
    # It says so until it is well, and being well is seen here; the next `up` records it.
    well = bool(seen) and all(s.ok or s.off for s in seen)
    degraded = state.degraded if state and not well else None
    runs = any(c.state == "running" for c in observed.containers)
    data: dict[str, Any] = {
        "project": project.name,
        "environment": stack.environment,
        "profile": state.profile if state else None,
        "verified": state.verified if state and runs else None,
        "degraded": degraded,
        "services": services,
        "consumers": [
            {
                "service": s.service,
                "configured": str(s.configured) if s.configured else None,
                "reaches": s.reaches,
                "told": str(s.configured) if s.configured else None,
                "uses": s.uses,
                "ok": s.ok,
                "reason": s.reason or None,
            }
            for s in seen
        ],
        "drift": list(drift),
    }
    head = project.name + (f" ({stack.environment})" if stack.environment else "")
    if state is None:
        line = f"{head}: stackctl has not brought it up yet; `stackctl up` would use {name}"
    elif not observed.containers:
        line = f"{head}: nothing of it is there; `stackctl up` brings it up on {name}"
    elif not runs:
        line = f"{head}: nothing of it runs; `stackctl up` starts it on {name}"
    elif state.verified:
        line = f"{head}: on {state.profile}, verified {state.verified}"
    else:
        line = f"{head}: on {state.profile}, degraded"
    blocks: list[Block] = [Line(line, "strong")]
    if degraded:
        blocks.append(Line(f"degraded: {degraded}", "warn"))
    elif state and state.degraded:
        blocks.append(Line("it came up degraded and is well now; `stackctl up` records that", "ok"))
    if services:
        rows: list[list[str | tuple[str, Tone]]] = [
            [str(s["name"]), _state_cell(str(s["state"])), str(s["health"] or "–")] for s in services
        ]
        blocks += [Line(""), Table(["service", "state", "health"], rows)]
    if seen:
        lines: list[list[str | tuple[str, Tone]]] = [
            [s.service, str(s.configured or "–"), s.reaches or "–", s.uses or "not seen yet", _verdict(s)] for s in seen
        ]
        blocks += [Line(""), Table(["consumer", "told", "reaches", "uses", "ok"], lines)]
    if drift:
        blocks += [Line(""), *(Line(f"! {d}", "warn") for d in drift)]
    nxt = (
        []
        if not drift and all(s.ok or s.off for s in seen)
        else ["stackctl up" if drift or not services else "stackctl diagnose"]
    )
    return Outcome("stackctl.status/1", data, blocks, nxt)


def _verdict(seen: ConsumerStatus) -> tuple[str, Tone]:
    if seen.ok:
        return f"✓ {seen.reason}".rstrip(), "ok"
    return (seen.reason, "dim") if seen.off else (f"✗ {seen.reason}", "bad")


def _state_cell(state: str) -> tuple[str, Tone]:
    return state, "ok" if state == "running" else "dim" if state == "exited" else "warn"
