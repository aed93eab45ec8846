"""Adoption moves nobody: what a plain ``up`` is to mean, and which settings have to be left as they are for that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from stackctl.project.discovery.elsewhere import is_instance
from stackctl.project.discovery.findings import Consumer, Findings, Setting, Spot
from stackctl.project.discovery.secrecy import redacted
from stackctl.project.discovery.servers import choose_local

NOBODY = ""


def used(findings: Findings) -> Counter[str]:
    """Server to the number of services that ask it today."""
    return Counter(
        server
        for consumer in findings.consumers
        if not consumer.goes_with_server
        for server in dict.fromkeys(server for setting in consumer.settings for server in setting.servers)
    )


def local_of(findings: Findings, wanted: str = "") -> str:
    """The service that ``local`` is to mean: the one asked for, else the one that is asked most."""
    return choose_local(findings.ollama_services, wanted, used(findings))


def in_use(findings: Findings, local: str) -> str:
    """The server that a plain ``up`` is to mean: the project's own where anybody asks it, else the one asked most."""
    asked = used(findings)
    if asked[f"service:{local}"]:
        return f"service:{local}"
    told = Counter(
        server
        for consumer in findings.consumers
        for server in dict.fromkeys(s for x in consumer.settings if x.template is not None for s in x.servers)
        if is_instance(server)
    )
    return max(told, key=lambda server: told[server], default=NOBODY)


def settled(findings: Findings, local: str, lacking: Collection[str] = ()) -> Findings:
    """The findings with every setting left as it is that a plain ``up`` would point at another server.

    ``lacking`` are models that the server in use does not have: nobody is to need them from now on.
    """
    target = in_use(findings, local)
    consumers = tuple(_settled(consumer, target, local) for consumer in findings.consumers)
    models = tuple(dict.fromkeys(m for m in _models(consumers, findings.models) if m not in lacking))
    first = models[0] if models else ""
    consumers = tuple(
        replace(c, models=tuple(m if m.model == first else replace(m, template=None) for m in c.models))
        for c in consumers
    )
    return replace(findings, consumers=consumers, models=models)


def _models(consumers: Sequence[Consumer], pulled: Sequence[str]) -> list[str]:
    """The models that are asked for through what will be told, for chat first, and those that helpers pull."""
    named = [m for c in consumers for m in c.models]
    return [*(m.model for m in named if not m.embeds), *pulled, *(m.model for m in named if m.embeds)]


def _settled(consumer: Consumer, target: str, local: str) -> Consumer:
    settings = tuple(_setting(s, target, local) for s in consumer.settings)
    left = {s.kind for s, before in zip(settings, consumer.settings, strict=True) if s.template != before.template}
    told = {s.name for s in settings if s.template is not None}
    return replace(
        consumer,
        settings=settings,
        arguments=tuple(a for a in consumer.arguments if a[0] not in left),
        models=tuple(m for m in consumer.models if m.beside & told),
    )


def _setting(setting: Setting, target: str, local: str) -> Setting:
    servers = setting.servers
    if setting.template is None or not servers or servers == [target]:
        return setting
    value = setting.value or ""
    if target in servers and setting.kind in ("env", "env_file") and redacted(value) == value:
        return replace(setting, template=_partly(value, setting.spots, target), note="", reason="")
    return replace(setting, template=None, reason=_reason(servers, target, local))


def _partly(value: str, spots: Sequence[Spot], target: str) -> str:
    """A value that names several servers, with the template in the place of one of them only."""
    out, at = "", 0
    for spot in spots:
        if spot.server == target:
            out += value[at : spot.start] + spot.template
            at = spot.end
    return out + value[at:]


def _reason(servers: Sequence[str], target: str, local: str) -> str:
    who = " and ".join(server.removeprefix("service:") for server in servers)
    meant = f"`local` is {local}" if target == f"service:{local}" else f"the default is {target}" if target else ""
    return f"it uses {who} today{f', and {meant}' if meant else ''}: left as it is, so that adoption moves nobody"
