"""Preflight: the target tried from inside the stack before anything is touched, and what can be mended on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stackctl.commands.context.project_loader import Stack, secret_reader
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile import gateway_control
from stackctl.commands.reconcile.request_settings import request_settings_of
from stackctl.commands.reconcile.situation import Situation
from stackctl.commands.reconcile.verify import Verified, containers_of, lacks_models_only, probe_member, probe_target
from stackctl.config.target import Target, resolve
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject


@dataclass(frozen=True)
class Fitness:
    """Whether a target can serve: ``reason`` is empty where it can, else one line; ``hint`` may mend it.

    ``pins`` are names that turned out to need an address: with them it is to be tried again.
    ``answers`` are the consumers' own, where they were asked in place.
    """

    reason: str = ""
    hint: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)
    answers: Sequence[Verified] = ()


def preflight(
    session: Session, stack: Stack, project: ComposeProject, situation: Situation, *, deep: bool, assume_yes: bool
) -> Fitness:
    """Try the target from where each consumer is, or will be.

    The local server is started rather than tried. A name that only the host
    resolves comes back as a pin. Missing models are pulled where the user
    agrees (``assume_yes``, or asked in a terminal).
    """
    target, settings, containers = situation.prepared.target, situation.settings, situation.observed.containers
    if target.kind == "local":
        return Fitness()
    if target.kind == "gateway":
        return Fitness(_try_members(session, stack, project, target, containers))
    running = containers_of(stack.config, containers)

    def probe(again: str = "") -> list[Verified]:
        with session.reporter.step(f"trying {target.url} {again or 'from inside the stack'}"):
            return probe_target(
                session, stack, project, situation.prepared, situation.urls, settings, running, deep=deep
            )

    results = probe()
    bad = [r for r in results if not r.ok]
    if pins := _needed_pins(session, target, bad):
        return Fitness(pins=pins)
    missing = _only_models_missing(bad)
    if missing and _pull(session, stack, target, missing, assume_yes=assume_yes):
        results = probe("again")
        bad = [r for r in results if not r.ok]
        missing = _only_models_missing(bad)
    if not bad:
        _compare_digests(session, target, settings.models, results)
        return Fitness()
    reasons = dict.fromkeys(r.reason for r in bad)
    who = ", ".join(r.consumer for r in bad)
    hint = f"stackctl switch {target.name} --yes   (pulls what is missing)" if missing else ""
    if settings.trust and any(r.reach.failed and r.reach.failed.id == "tls" for r in bad):
        # Only stackctl is given that CA; apps have a trust of their own.
        given = stack.config.instances[target.instances[0]].tls.ca_file
        hint = f"give {who} the CA {given}: mounted, and named by what its runtime reads, such as SSL_CERT_FILE"
        hint += "; or set `gateway: true`"
    return Fitness(f"{target.url} cannot serve {who}: {'; '.join(reasons)}", hint)


def _try_members(
    session: Session, stack: Stack, project: ComposeProject, target: Target, containers: Sequence[Container]
) -> str:
    """Why no member behind the gateway can serve, or empty: one that is fit will do, and so will the local server.

    They are tried from the gateway's container where it runs; consumers need not reach them.
    """
    plain = replace(stack, config=stack.config.model_copy(update={"gateway": False}))
    remote = [n for n in target.instances if n != "local"]
    if not stack.config.told or not remote or "local" in (*target.instances, target.fallback):
        return ""
    gateway = gateway_control.container_of(containers)
    reasons: list[str] = []
    for name in remote:
        member = resolve(plain.config, name)
        settings = request_settings_of(session, plain, member)
        with session.reporter.step(f"trying {member.url} from inside the stack"):
            result = probe_member(session, plain, project, member, settings, gateway)
        if result.ok:
            return ""
        reasons.append(f"{member.url} cannot serve: {result.reason}")
    return "; ".join(reasons)


def _needed_pins(session: Session, target: Target, bad: Sequence[Verified]) -> dict[str, str]:
    host = target.url.host
    if host in target.pins or not any(r.reach.failed and r.reach.failed.id == "name" for r in bad):
        return {}
    addresses = session.names.resolve(host)
    if not addresses:
        return {}
    session.reporter.note(f"{host} resolves on the host only; pinned to {addresses[0]} in the containers")
    return {host: addresses[0]}


def _only_models_missing(bad: Sequence[Verified]) -> list[str]:
    """Models that every unfit consumer lacks nothing but; empty where something else fails too."""
    return list(dict.fromkeys(m for r in bad for m in r.reach.missing)) if lacks_models_only(bad) else []


def _pull(session: Session, stack: Stack, target: Target, missing: Sequence[str], *, assume_yes: bool) -> bool:
    name = target.instances[0] if target.instances else target.name
    what = ", ".join(missing)
    if not assume_yes and not session.reporter.ask(f"{name} does not have {what}. Pull it there?"):
        return False
    from stackctl.config.models import Instance  # noqa: PLC0415
    from stackctl.ollama.client import OllamaClient  # noqa: PLC0415  (0.15 s)
    from stackctl.ollama.ensure import ensure_models  # noqa: PLC0415
    from stackctl.ollama.server import Server  # noqa: PLC0415

    instance = stack.config.instances.get(name) or Instance.model_validate({"url": name})
    base = session.config_path.parent
    server = Server.from_instance(name, instance, directory=base, resolve=secret_reader(session, stack))
    with session.reporter.step(f"pulling {what} on {name}"), OllamaClient(server) as client:
        ensure_models(client, list(missing), session.reporter)
    return True


def _compare_digests(session: Session, target: Target, models: Sequence[str], results: Sequence[Verified]) -> None:
    """Say which required models are other builds there than where the consumers are now."""
    from stackctl.diagnose.http_reply import full_name  # noqa: PLC0415

    said: set[str] = set()
    for result in results:
        for model in models:
            name = full_name(model)
            old, new = result.present.get(name), result.digests.get(name)
            if old and new and old != new and name not in said:
                said.add(name)
                session.reporter.warn(
                    f"{model} on {target.name} is another build ({new[:12]}) than the one in use ({old[:12]}): "
                    "its answers differ, and vectors that were stored with the old one no longer match"
                )
