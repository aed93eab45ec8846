"""Back to a snapshot: planned anew from what is there, so that it works from wherever a crash left things."""

from __future__ import annotations

from collections.abc import Sequence

from stackctl.config.target import GATEWAY_SERVICE
from stackctl.transaction.journal import Snapshot
from stackctl.transaction.observed import Observed
from stackctl.transaction.sharing import namespaces
from stackctl.transaction.steps import (
    ComposeDown,
    ComposeUp,
    CreateNetwork,
    Plan,
    ReloadGateway,
    RemoveContainer,
    RemoveNetwork,
    Step,
    StopContainer,
    WaitHealthy,
    WriteOverride,
)

CAUSE = "as it was before"


def plan_undo(snapshot: Snapshot, observed: Observed) -> Plan:
    """The steps back to ``snapshot``; empty where nothing has moved."""
    steps: list[Step] = []
    if observed.override != snapshot.override:
        steps.append(WriteOverride(CAUSE, snapshot.override, ""))
    gone, stopped = [], []
    for service, remembered in snapshot.containers.items():
        now = {c.id: c for c in observed.of(service)}
        if any(c["id"] not in now for c in remembered) or any(
            c["state"] == "running" and now[c["id"]].state != "running" for c in remembered
        ):
            gone.append(service)
        if all(c["state"] != "running" for c in remembered):
            stopped.append(service)
    steps += _bring_back(snapshot, observed, gone, stopped)
    steps += [StopContainer(CAUSE, c["name"]) for s in stopped for c in snapshot.containers[s] if s in gone]
    if not snapshot.containers:
        # Nothing ran: its networks were not there either. First, while the override still names every service.
        steps.insert(0, ComposeDown("nothing ran before"))
    else:
        steps += [
            RemoveContainer("it was not there before", c.service, c.name)
            for c in observed.containers
            if c.service not in snapshot.containers
        ]
    if snapshot.gateway is not None and observed.gateway != snapshot.gateway and snapshot.containers:
        digest, text = snapshot.gateway
        steps.append(ReloadGateway(CAUSE, GATEWAY_SERVICE, text, digest))
    steps += [
        RemoveNetwork("it was not there before", name) for name in sorted(observed.networks - set(snapshot.networks))
    ]
    steps += [CreateNetwork(CAUSE, name) for name in sorted(set(snapshot.networks) - observed.networks)]
    return Plan(tuple(steps))


def _bring_back(snapshot: Snapshot, observed: Observed, gone: Sequence[str], stopped: Sequence[str]) -> list[Step]:
    """The steps that make the containers of the services ``gone`` as they were, and of those that hang on them."""
    moved = {c["id"] for s in gone for c in snapshot.containers[s]} | {c.id for s in gone for c in observed.of(s)}
    # Compose does not always see that the container of a namespace is another one.
    tied = tuple(s for s in snapshot.containers if any(moved & {*namespaces(c).values()} for c in observed.of(s)))
    steps: list[Step] = []
    if first := tuple(s for s in gone if s not in tied):
        steps.append(ComposeUp(CAUSE, first, no_deps=True))
    if tied:
        steps.append(ComposeUp("in a namespace that went back", tied, no_deps=True, force_recreate=True))
    if alive := tuple(s for s in dict.fromkeys((*gone, *tied)) if s not in stopped):
        steps.append(WaitHealthy(CAUSE, alive))
    return steps
