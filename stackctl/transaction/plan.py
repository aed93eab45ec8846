"""The plan: steps as values, each one Docker or file action with its cause. An empty plan is a no-op.

The text form (``str(plan)``) is stable, and golden tests compare it whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stackctl.project.compose import ComposeProject
from stackctl.project.override import OverrideFile
from stackctl.transaction.observed import Observed, changes, moved_networks, networks_of


@dataclass(frozen=True)
class Step:
    """One action and why it is taken."""

    cause: str

    @property
    def kind(self) -> str:
        """The step's name in the journal."""
        return type(self).__name__

    def to_dict(self) -> dict[str, Any]:
        """For the journal and ``--dry-run --json``."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class CreateNetwork(Step):
    """Create a shared network, labelled as ours."""

    name: str

    def __str__(self) -> str:
        return f"create network {self.name}"


@dataclass(frozen=True)
class WriteOverride(Step):
    """Replace ``override.yaml``; ``text`` None removes it."""

    text: str | None = field(repr=False)
    digest: str = ""

    def __str__(self) -> str:
        return f"write override {self.digest[:12]}".rstrip() if self.text is not None else "remove override"


@dataclass(frozen=True)
class ComposeUp(Step):
    """``docker compose up -d`` for these services; ``alone`` leaves their dependencies as they are."""

    services: tuple[str, ...]
    alone: bool = False
    rest: bool = False
    """Every active service of the project: Compose is given no names, so that it orders all of them."""
    anew: bool = False
    """Replace containers that are as wanted too: on a network that it made anew Compose (2.40) leaves them nameless."""

    def __str__(self) -> str:
        return f"compose up {'--force-recreate ' if self.anew else ''}{' '.join(self.services)}"


@dataclass(frozen=True)
class WaitHealthy(Step):
    """Wait until these services run, and are healthy where they have a healthcheck."""

    services: tuple[str, ...]

    def __str__(self) -> str:
        return f"wait for {' '.join(self.services)}"


@dataclass(frozen=True)
class EnsureModels(Step):
    """Make models present on the local server."""

    service: str
    models: tuple[str, ...]

    def __str__(self) -> str:
        return f"ensure models {' '.join(self.models)} in {self.service}"


@dataclass(frozen=True)
class VerifyConsumers(Step):
    """Ask each consumer, from inside, for the Ollama that it reaches."""

    consumers: tuple[str, ...]

    def __str__(self) -> str:
        return f"verify {' '.join(self.consumers)}"


@dataclass(frozen=True)
class RemoveContainer(Step):
    """Stop and remove a container by name; its volumes stay."""

    service: str
    container: str

    def __str__(self) -> str:
        return f"stop and remove container {self.container}"


@dataclass(frozen=True)
class StopContainer(Step):
    """Stop a container, without removing it."""

    container: str

    def __str__(self) -> str:
        return f"stop container {self.container}"


@dataclass(frozen=True)
class ComposeDown(Step):
    """``docker compose down``: containers and networks of the project; volumes stay."""

    def __str__(self) -> str:
        return "compose down"


@dataclass(frozen=True)
class RemoveNetwork(Step):
    """Remove a network of ours."""

    name: str

    def __str__(self) -> str:
        return f"remove network {self.name}"


@dataclass(frozen=True)
class ReloadGateway(Step):
    """Give the gateway a new configuration; running streams finish on the old one."""

    service: str
    text: str = field(repr=False)
    digest: str = ""

    def __str__(self) -> str:
        return f"reload gateway {self.digest[:12]}"


@dataclass(frozen=True)
class SaveState(Step):
    """Write ``state.json``; the steps before it are kept from here on."""

    def __str__(self) -> str:
        return "save state"


@dataclass(frozen=True)
class Plan:
    """Steps in order."""

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __str__(self) -> str:
        return "".join(f"{i}. {step}  # {step.cause}\n" for i, step in enumerate(self.steps, 1))


@dataclass(frozen=True)
class Wanted:
    """What planning works towards. ``hashes`` are Compose's, of the merged project's active services.

    ``everything`` brings up all active services (``up``); otherwise only those
    that the override concerns (``switch``).
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


def plan_apply(project: ComposeProject, wanted: Wanted, observed: Observed) -> Plan:
    """The steps from what is observed to what is wanted; empty where they agree."""
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
    reload = _reload(todo, wanted, observed)
    new_gateway = reload if reload and reload.service in todo else None
    stale = [
        RemoveContainer(f"{c.service} is switched off by this target", c.service, c.name)
        for c in observed.containers
        if c.service in wanted.local_off
    ]
    at_once = any(moved & networks_of(project, name) for name in todo)
    if at_once:
        # A network is made anew only where nobody is left on it.
        steps += stale
    steps += _bring_up(todo, wanted, observed, new_gateway, at_once=at_once)
    if reload and not new_gateway:
        steps.append(reload)
    if (steps or stale) and wanted.consumers:
        steps.append(VerifyConsumers("what was changed is proved before it is kept", wanted.consumers))
    last = () if at_once else stale
    return Plan((*steps, *last, SaveState("verified"))) if steps or stale else Plan()


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

    Where Compose is to make one of their networks anew, all who are on it: it cannot while one is left.
    """
    names = set(wanted.consumers) | {project.network_owner(c) for c in wanted.consumers}
    names |= {s.name for s in project if project.network_owner(s.name) in names}
    names |= {n for n in (wanted.local_service, wanted.gateway_service) if n}
    shaken = moved & {key for name in names for key in networks_of(project, name)}
    return names | {s.name for s in project if shaken & networks_of(project, s.name)}


def _bring_up(
    todo: Mapping[str, str],
    wanted: Wanted,
    observed: Observed,
    new_gateway: ReloadGateway | None = None,
    *,
    at_once: bool = False,
) -> list[Step]:
    """``at_once``: a network is made anew, for which all who are on it stop."""
    if not todo:
        return []
    steps: list[Step] = []
    local = wanted.local_service
    names = tuple(todo)
    # A running consumer is pointed at the local server only once that one answers and has its models:
    # until then the consumer is served by what it has.
    running = [n for n in wanted.consumers if n in todo and any(c.state == "running" for c in observed.of(n))]
    ensure = [EnsureModels("required by the target", local, wanted.models)] if local and wanted.models else []
    if local is not None and local in todo and running and not at_once:
        first = tuple(n for n in names if n == local)
        steps += [ComposeUp(todo[local], first, alone=True), WaitHealthy("consumers need it to answer", first), *ensure]
        names = tuple(n for n in names if n != local)
        ensure = []
    if new_gateway:
        # A consumer that asks as it starts must not meet a gateway that leads nowhere yet.
        gateway = (new_gateway.service,)
        steps += [
            ComposeUp(todo[new_gateway.service], gateway, alone=True),
            WaitHealthy("consumers need it to answer", gateway),
            new_gateway,
        ]
        names = tuple(n for n in names if n != new_gateway.service)
    if names:
        rest = wanted.everything and not at_once
        steps.append(ComposeUp(_causes(todo, names), names, rest=rest, anew=at_once))
        steps.append(WaitHealthy("started or replaced", names))
    return [*steps, *ensure]


def _causes(todo: Mapping[str, str], names: Sequence[str]) -> str:
    causes: dict[str, list[str]] = {}
    for name in names:
        causes.setdefault(todo[name], []).append(name)
    if len(causes) == 1:
        return next(iter(causes))
    return "; ".join(f"{', '.join(who)}: {cause}" for cause, who in causes.items())
