"""Plan: the steps from what is observed to what is wanted. Pure; nothing is asked and nothing is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackctl.project.compose import ComposeProject
from stackctl.project.override import OverrideFile
from stackctl.transaction.held_networks import refuse_held_networks
from stackctl.transaction.observed import Observed, changes, moved_networks, networks_of
from stackctl.transaction.sharing import hosts_of, shares_by_name, with_sharers
from stackctl.transaction.steps import (
    ComposeUp,
    CreateNetwork,
    EnsureModels,
    Plan,
    ReloadGateway,
    RemoveContainer,
    RemoveIdleContainer,
    SaveState,
    Step,
    VerifyConsumers,
    WaitHealthy,
    WriteOverride,
)


@dataclass(frozen=True)
class Wanted:
    """What planning works towards. ``hashes`` are Compose's, of the merged project's active services.

    ``everything`` brings up all active services (``up``); otherwise only those
    that the override concerns (``switch``). ``degraded``: the stack is to be kept
    although its consumers may not reach their Ollama. ``verify_first``: consumers
    may be asked while they still get healthy, so that their health is waited for
    last and costs no time beyond it; not where one has a check of its own, which
    may count on its health.
    """

    override: OverrideFile
    hashes: Mapping[str, str]
    models: tuple[str, ...]
    consumers: tuple[str, ...]
    local_service: str | None
    local_off: tuple[str, ...]
    everything: bool
    gateway_service: str | None = None
    gateway_text: str | None = None
    gateway_digest: str = ""
    gateway_secrets_moved: bool = False
    degraded: bool = False
    verify_first: bool = False


def plan_apply(project: ComposeProject, wanted: Wanted, observed: Observed) -> Plan:
    """The steps from what is observed to what is wanted; empty where they agree.

    Raises :class:`StepFailed` where a network must be recreated, and cannot be.
    """
    steps: list[Step] = []
    network = wanted.override.needs_network
    if network and network not in observed.networks:
        steps.append(CreateNetwork("the shared network does not exist", network))
    if observed.override != wanted.override.text:
        cause = "no override yet" if observed.override is None else "the target or the project differs"
        steps.append(WriteOverride(cause, wanted.override.text, wanted.override.digest))
    todo = changes(project, wanted.hashes, observed, wanted.local_service)
    moved = moved_networks(project, observed.state)
    if not wanted.everything:
        concerned = _concerned(project, wanted, moved)
        todo = {name: cause for name, cause in todo.items() if name in concerned}
    todo = with_sharers(project, wanted.hashes, todo, observed)
    stale = _stale(wanted, observed)
    refuse_held_networks(project, observed, {*todo, *(step.service for step in stale)})
    network_recreated = any(moved & networks_of(project, name) for name in todo)
    if network_recreated:
        # Compose recreates a network only when no container is left on it.
        steps += stale
    start, wait_last = _bring_up(project, todo, wanted, observed, network_recreated=network_recreated)
    steps += start
    if (steps or stale) and wanted.consumers:
        cause = "what was changed is proved before it is kept"
        steps.append(VerifyConsumers(cause, wanted.consumers, required=not wanted.degraded))
    steps += wait_last
    if stale and not network_recreated:
        steps += stale
        if wanted.consumers:
            cause = "what was switched off is off now"
            steps.append(VerifyConsumers(cause, wanted.consumers, required=not wanted.degraded))
    return Plan((*steps, SaveState("verified"))) if steps else Plan()


def plan_models(wanted: Wanted) -> Plan:
    """The steps where nothing differs but that a model is missing on the local server; empty where none is wanted."""
    if not wanted.local_service or not wanted.models:
        return Plan()
    return Plan(
        (
            EnsureModels("one of them is not there", wanted.local_service, wanted.models),
            VerifyConsumers("the models have changed", wanted.consumers, required=not wanted.degraded),
            SaveState("verified"),
        )
    )


def _stale(wanted: Wanted, observed: Observed) -> list[RemoveContainer]:
    kind = RemoveIdleContainer if wanted.gateway_service else RemoveContainer
    return [
        kind(f"{c.service} is switched off by this target", c.service, c.name)
        for c in observed.containers
        if c.service in wanted.local_off
    ]


def _reload(todo: Mapping[str, str], wanted: Wanted, observed: Observed) -> ReloadGateway | None:
    if not wanted.gateway_service or wanted.gateway_text is None:
        return None
    running = observed.gateway[0] if observed.gateway else None
    new = wanted.gateway_service in todo
    if not new and running == wanted.gateway_digest and not wanted.gateway_secrets_moved:
        return None
    cause = (
        "it is new"
        if new or running is None
        else ("a secret differs" if running == wanted.gateway_digest else "the upstreams differ")
    )
    return ReloadGateway(cause, wanted.gateway_service, wanted.gateway_text, wanted.gateway_digest)


def _concerned(project: ComposeProject, wanted: Wanted, moved: set[str]) -> set[str]:
    """Services that a switch may touch: those that are told, what carries their network, the server itself.

    Where Compose is to recreate one of their networks, all who are on it: it cannot while one is left.
    """
    names = set(wanted.consumers) | {project.network_owner(c) for c in wanted.consumers}
    names |= {s.name for s in project if project.network_owner(s.name) in names}
    names |= {n for n in (wanted.local_service, wanted.gateway_service) if n}
    shaken = moved & {key for name in names for key in networks_of(project, name)}
    return names | {s.name for s in project if shaken & networks_of(project, s.name)}


def _bring_up(
    project: ComposeProject, todo: Mapping[str, str], wanted: Wanted, observed: Observed, *, network_recreated: bool
) -> tuple[list[Step], list[Step]]:
    """The steps that bring up what is to be, and those that only wait for it and may come after the verification.

    ``network_recreated``: a network is recreated, for which all who are on it stop.
    """
    reload = _reload(todo, wanted, observed)
    if not todo:
        return ([reload] if reload else []), []
    steps: list[Step] = []
    local = wanted.local_service
    names = tuple(todo)
    # A running consumer is pointed at the local server only once that one answers and has its models:
    # until then the consumer is served by what it has.
    running = [n for n in wanted.consumers if n in todo and any(c.state == "running" for c in observed.of(n))]
    ensure = [EnsureModels("required by the target", local, wanted.models)] if local and wanted.models else []
    # In the namespace of a container that is replaced it can only come after that one.
    bound = local is not None and any(host in todo for host in _hosts(project, local, observed))
    if local is not None and local in todo and running and not network_recreated and not bound:
        first = (local,)
        steps += [
            ComposeUp(todo[local], first, no_deps=True),
            WaitHealthy("consumers need it to answer", first),
            *ensure,
        ]
        names = tuple(n for n in names if n != local)
        ensure = []
    if reload and reload.service in todo:
        # A consumer that asks as it starts must not meet a gateway that leads nowhere yet.
        gateway = (reload.service,)
        steps += [
            ComposeUp(todo[reload.service], gateway, no_deps=True),
            WaitHealthy("consumers need it to answer", gateway),
            reload,
        ]
        names = tuple(n for n in names if n != reload.service)
        reload = None
    wait_last: list[Step] = []
    by_name = tuple(n for n in names if n in project.services and shares_by_name(project.services[n]))
    names = tuple(n for n in names if n not in by_name)
    if names:
        all_services = wanted.everything and not network_recreated
        steps.append(
            ComposeUp(_causes(todo, names), names, all_services=all_services, force_recreate=network_recreated)
        )
        others = tuple(n for n in names if n != local)
        if not wanted.verify_first or not others:
            steps.append(WaitHealthy("started or replaced", names))
        else:
            if local in names:
                steps.append(WaitHealthy("consumers need it to answer", (local,)))
            wait_last = [WaitHealthy("started or replaced", others)]
    if by_name:
        steps.append(ComposeUp(_causes(todo, by_name), by_name, no_deps=True, force_recreate=True))
        steps.append(WaitHealthy("started or replaced", by_name))
    return [*steps, *ensure, *([reload] if reload else [])], wait_last


def _hosts(project: ComposeProject, name: str, observed: Observed) -> Mapping[str, str]:
    service = project.services.get(name)
    return hosts_of(project, service, observed) if service else {}


def _causes(todo: Mapping[str, str], names: Sequence[str]) -> str:
    causes: dict[str, list[str]] = {}
    for name in names:
        causes.setdefault(todo[name], []).append(name)
    if len(causes) == 1:
        return next(iter(causes))
    return "; ".join(f"{', '.join(who)}: {cause}" for cause, who in causes.items())
