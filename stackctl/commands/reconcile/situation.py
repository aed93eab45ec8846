"""What a target means here and now: its override, Compose's hashes with it, and what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from stackctl.commands.context.project_loader import Stack, with_override
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import OVERRIDE, read_text
from stackctl.commands.context.state_directory import candidate as candidate_file
from stackctl.commands.reconcile import gateway_control
from stackctl.commands.reconcile.candidates import Candidate
from stackctl.commands.reconcile.left_behind import leads_home, own_listener
from stackctl.commands.reconcile.observe import in_parallel, observe
from stackctl.commands.reconcile.prepare import Prepared, prepare
from stackctl.commands.reconcile.request_settings import RequestSettings, request_settings_of
from stackctl.commands.reconcile.verify import Verified, containers_of, verify
from stackctl.config.url import OllamaUrl
from stackctl.project.compose import ComposeProject
from stackctl.transaction.observed import Observed
from stackctl.transaction.planning import Wanted
from stackctl.transaction.state import State


@dataclass(frozen=True)
class Situation:
    """One candidate, prepared, beside what was observed.

    ``answers`` is what the consumers said while Compose computed its hashes;
    None where the target seemed to be another one than that in force.
    """

    prepared: Prepared
    settings: RequestSettings
    hashes: Mapping[str, str]
    observed: Observed
    gateway_secrets_moved: bool
    answers: list[Verified] | None

    @property
    def urls(self) -> dict[str, OllamaUrl]:
        """What each consumer is told that Compose would start."""
        return {c: url for c, url in self.prepared.override.told.items() if c in self.hashes}


def hashes_of(session: Session, stack: Stack, prepared: Prepared) -> dict[str, str]:
    """Compose's hashes with the new override, from a temporary file: this validates it before anything is touched."""
    call = with_override(session, stack)
    if read_text(session, OVERRIDE) == prepared.override.text:
        return session.engine.hashes(replace(call, variables=prepared.variables))
    with candidate_file(session, prepared.override.text) as path:
        return session.engine.hashes(replace(with_override(session, stack, path), variables=prepared.variables))


def prepare_and_observe(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    candidate: Candidate,
    state: State | None,
    pins: Mapping[str, str],
) -> Situation:
    """Prepare one candidate, and look at everything that planning needs at once.

    Raises :class:`ComposeFileError` where Compose refuses the project with the override.
    """
    prepared = prepare(session, stack, project, candidate.target, pins=pins)
    settings = request_settings_of(session, stack, prepared.target)
    networks = [stack.config.network.shared] if stack.config.network.shared else []

    def ask_consumers(observed: Observed) -> list[Verified]:
        running = containers_of(stack.config, observed.containers)
        urls = {c: url for c, url in prepared.override.told.items() if c in running}
        return verify(session, stack, urls, settings, running)

    with in_parallel() as start:
        seen = start(lambda: observe(session, project, state, networks=networks, services=list(project.services)))
        unchanged = _seems_unchanged(session, prepared, state)
        asked = start(lambda: ask_consumers(seen.result())) if unchanged else None
        hashes = hashes_of(session, stack, prepared)
        answers: list[Verified] | None = asked.result() if asked else None
        observed = seen.result()
    moved = prepared.gateway is not None and gateway_control.secrets_moved(session, stack, observed.containers)
    return Situation(prepared, settings, hashes, observed, moved, answers)


def _seems_unchanged(session: Session, prepared: Prepared, state: State | None) -> bool:
    return (
        state is not None
        and state.verified is not None
        and state.override == prepared.override.digest
        and read_text(session, OVERRIDE) == prepared.override.text
    )


def is_own_server(session: Session, stack: Stack, project: ComposeProject, situation: Situation) -> bool:
    """Whether an address elsewhere is answered by the container that this very target would switch off."""
    config, target = stack.config, situation.prepared.target
    listener = own_listener(session, stack, project)
    if target.needs_local or listener is None or not situation.observed.of(config.local.service):
        return False
    named = target.name in config.profiles
    if named or len(target.instances) != 1:
        return False
    name = target.instances[0]
    url = config.instances[name].url if name in config.instances else OllamaUrl.parse(name)
    if config.network.shared and url.host in listener.names:
        return False  # on a shared network the name may be another project's server
    return leads_home(listener, url)


def wanted(stack: Stack, project: ComposeProject, situation: Situation, *, everything: bool, degraded: bool) -> Wanted:
    """What planning works towards."""
    config, prepared = stack.config, situation.prepared
    target, gateway = prepared.target, prepared.gateway
    off = () if target.needs_local or prepared.keeps_local else prepared.override.off or (config.local.service,)
    own = project.services.get(config.local.service) if target.needs_local else None
    # Without a healthcheck the project's own server counts as healthy long before it answers.
    tells_when_it_answers = own is None or bool(own.raw.get("healthcheck"))
    own_checks = any(consumer.verify for consumer in config.told.values())
    return Wanted(
        override=prepared.override,
        hashes=situation.hashes,
        models=target.models if target.needs_local else (),
        consumers=tuple(c for c in config.told if c in situation.hashes and not project.services[c].is_scaled_to_none),
        local_service=config.local.service if target.needs_local else None,
        local_off=off,
        everything=everything,
        gateway_service=gateway.part.name if gateway else None,
        gateway_text=gateway.text if gateway else None,
        gateway_digest=gateway.digest if gateway else "",
        gateway_secrets_moved=situation.gateway_secrets_moved,
        degraded=degraded,
        verify_first=tells_when_it_answers and not own_checks and not degraded,
    )
