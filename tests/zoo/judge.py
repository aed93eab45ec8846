"""The invariants, as questions to what was seen before a step and after it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.support.cli import Ran
from tests.zoo.files import service
from tests.zoo.look import Container, Look
from tests.zoo.scenario import MOVABLE, Consumer, Scenario

ADDRESSES = frozenset(
    ("OLLAMA_URL", "OLLAMA_BASE_URL", "OLLAMA_HOST", "OLLAMA_PORT", "OPENAI_API_BASE", "OLLAMA_ENDPOINT",
     "LLM_SETTINGS", "OLLAMA_URL_FILE", "OLLAMA_TOKEN", "NO_PROXY", "no_proxy", "SSL_CERT_FILE")
)  # fmt: skip
"""What tells an app where its Ollama is, and by which way; nothing else of it may change."""


@dataclass(frozen=True)
class Scene:
    """What was seen at one moment."""

    seen: Look
    reach: Mapping[str, str]
    guest: Container | None = None
    guest_reach: str = ""


@dataclass(frozen=True)
class Step:
    """One step of a walk: what was run, and the moments around it."""

    name: str
    ran: Ran
    before: Scene
    after: Scene
    status: Mapping[str, bool] | None = None


def complaints(s: Scenario, first: Scene, step: Step) -> list[str]:
    """Every invariant that a step broke; ``first`` is what was there before stackctl came."""
    if step.ran.code in (1, 2):
        found = list(_refused(s, step))
    elif step.ran.code == 0:
        found = [*_served(s, step), *_bystanders(first, step), *_only_the_address(s, first, step)]
        if step.name == "detach":
            found += _as_before(first, step.after)
    else:
        found = [f"{step.name} ended with {step.ran.code}"]
    return found


def _refused(s: Scenario, step: Step) -> Iterator[str]:
    if s.must_be_served:
        yield f"{step.name} was refused, and it must be served"
    if not step.ran.err.strip():
        yield f"{step.name} was refused without a reason"
    if step.after.seen.ids != step.before.seen.ids:
        yield f"I2: {step.name} was refused, and containers moved: {_moved(step)}"
    for name, server in step.before.reach.items():
        if step.after.reach[name] != server:
            yield f"I2: {step.name} was refused, and {name} reached {server}, then {step.after.reach[name]}"


def _served(s: Scenario, step: Step) -> Iterator[str]:
    for number, consumer in enumerate(s.consumers):
        name = service(number)
        wanted, got = _wanted(s, consumer, step.name), step.after.reach[name]
        if got not in wanted:
            yield f"{'I1' if step.name == 'up' else 'I2'}: after {step.name}, {name} reaches {got}, not {_or(wanted)}"
        told = (step.status or {}).get(name)
        if told is not None and told != (got in wanted):
            yield f"I4: status says {'ok' if told else 'not ok'} of {name}, whose client reaches {got}"
    if step.name == "init" and step.after.seen.ids != step.before.seen.ids:
        yield f"I1: init moved containers: {_moved(step)}"
    if step.after.guest and step.after.guest_reach not in {"local", s.target if s.gateway else "local"}:
        yield f"I2: after {step.name}, the other project's consumer reaches {step.after.guest_reach}"


def _wanted(s: Scenario, c: Consumer, step: str) -> Sequence[str]:
    """The servers that a consumer may reach after a step."""
    if step != "switch":
        return ("local",)
    if s.gateway or (c.form in MOVABLE and not c.profile):
        return (s.target,)
    return (s.target, "local")


def _bystanders(first: Scene, step: Step) -> Iterator[str]:
    for name in ("database", "proxy", "tunnel"):
        was, now = first.seen.of(name), step.after.seen.of(name)
        if [(c.id, c.networks, c.namespace) for c in was] != [(c.id, c.networks, c.namespace) for c in now]:
            yield f"I3: {step.name} touched {name}, which is no consumer"
    for sharer in first.seen.of("sharer"):
        now = step.after.seen.of("sharer")
        if not now:
            yield f"I3: after {step.name}, the sharer of {sharer.mode} does not run"
        owners = {f"container:{c.id}" for c in step.after.seen.of(service(0))}
        if any(c.mode not in owners for c in now):
            yield f"I3: after {step.name}, the sharer is in the namespace of a container that is gone"
    if first.guest != step.after.guest:
        yield f"I3: {step.name} touched the other project's container"


def _only_the_address(s: Scenario, first: Scene, step: Step) -> Iterator[str]:
    for number, _ in enumerate(s.consumers):
        name = service(number)
        was = [c.environment for c in first.seen.of(name)][:1]
        for now in step.after.seen.of(name):
            changed = {k for k, _ in set(was[0].items()) ^ set(now.environment.items())} if was else set()
            if changed - ADDRESSES:
                yield f"I10: {step.name} changed {', '.join(sorted(changed - ADDRESSES))} of {name}"


def _as_before(first: Scene, after: Scene) -> Iterator[str]:
    was, now = (sorted((c.service, c.running, c.hash) for c in x.seen.containers) for x in (first, after))
    if was != now:
        gone, more = [x for x in was if x not in now], [x for x in now if x not in was]
        yield f"I6: detach left other containers than there were: {gone} became {more}"
    if first.seen.networks != after.seen.networks:
        yield f"I6: detach left other networks: {set(first.seen.networks ^ after.seen.networks)}"
    before = {c.service: c.environment for c in first.seen.containers}
    for box in after.seen.containers:
        if box.service in before and dict(before[box.service]) != dict(box.environment):
            yield f"I6: detach left other values in {box.service}"


def _moved(step: Step) -> str:
    gone = step.before.seen.ids - step.after.seen.ids
    names = {c.id: c.service for c in (*step.before.seen.containers, *step.after.seen.containers)}
    more = step.after.seen.ids - step.before.seen.ids
    return f"{sorted(names[i] for i in gone)} went, {sorted(names[i] for i in more)} came"


def _or(words: Sequence[str]) -> str:
    return " or ".join(words)
