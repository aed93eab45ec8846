"""Who would be left behind if the local server were switched off; and who runs that no active profile names.

Asked while a target is prepared. What costs a look (discovery over the files,
the other containers of the engine) is asked only where a container of the
server is there to be switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import OVERRIDE, read_state, read_text
from stackctl.config.models import StackConfig
from stackctl.config.target import Target
from stackctl.config.url import OllamaUrl
from stackctl.ports import Container
from stackctl.project import dependents
from stackctl.project.compose import ComposeProject
from stackctl.project.dependents import RUNS, Dependent
from stackctl.project.localollama import OFF_PROFILE, Listener, listener


@dataclass(frozen=True)
class Bound:
    """What the containers at hand say: ``dependents`` need the local server, ``awake`` are switched though off."""

    dependents: tuple[Dependent, ...] = ()
    awake: frozenset[str] = frozenset()

    def warning(self, server: str) -> str:
        """One line that names each dependent and how it can be moved; empty without one."""
        if not self.dependents:
            return ""
        return f"{server} is left running, for " + "; ".join(map(str, self.dependents))


def look(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    target: Target,
    containers: Sequence[Container] | None = None,
) -> Bound:
    """Who is bound to the local server where ``target`` does without it; nobody where it runs anyway.

    ``containers`` are those of the project, where they are known already.
    """
    asleep = [name for name in stack.config.told if name not in project.active]
    if target.needs_local and not asleep:
        return Bound()
    if containers is None:
        containers = session.engine.containers(project.name)
    awake = _awake(project, asleep, containers)
    if target.needs_local:
        return Bound(awake=awake)
    project = replace(project, active=project.active | awake)
    return Bound(tuple(_dependents(session, stack, project, target, containers)), awake)


def own_listener(session: Session, stack: Stack, project: ComposeProject) -> Listener | None:
    """Where the project's own server listens, seen from this machine; None where it has none."""
    return listener(project, stack.config, session.names.is_own)


def leads_home(found: Listener, url: OllamaUrl) -> bool:
    """Whether a target's address is that of the project's own server: by its name, or by a port of the host."""
    return found.answers_outside(url.host, url.port, near=True)


def _awake(project: ComposeProject, asleep: Sequence[str], containers: Sequence[Container]) -> frozenset[str]:
    """Of these services of profiles that are off, those that run, with what Compose needs beside them."""
    running = {c.service for c in containers if c.state in RUNS}
    ahead = [name for name in asleep if name in running]
    found: set[str] = set()
    while ahead:
        name = ahead.pop()
        if name in found or name not in project.services or name in project.active:
            continue
        found.add(name)
        service = project.services[name]
        ahead += [other for other, edge in service.depends_on.items() if edge.get("required", True)]
        ahead += [project.network_owner(name)]
    return frozenset(found)


def _dependents(
    session: Session, stack: Stack, project: ComposeProject, target: Target, containers: Sequence[Container]
) -> list[Dependent]:
    config = stack.config
    server = config.local.service
    found = dependents.by_edges(project, server, containers)
    own = own_listener(session, stack, project)
    gateway = bool(config.gateway)
    if gateway and own is not None:
        found += [
            Dependent(name, f"{config.instances[name].url} is {server} itself", f"switch to `local` in place of {name}")
            for name in target.instances
            if name in config.instances and leads_home(own, config.instances[name].url)
        ]
    if not gateway:
        found += dependents.by_configuration(project, config, containers)
    there = [c for c in containers if c.service == server]
    if there and own is not None:
        if not gateway:
            found += _by_files(session, stack, project, own, containers)
            found += dependents.by_environment(config, own, containers)
        ids = {c.id for c in containers}
        others = [c for c in session.engine.containers(None) if c.id not in ids]
        shared = [config.network.shared] if config.network.shared else []
        found += dependents.of_others(own, there, others, shared if gateway else None)
    if not found and not gateway and any(c.state in RUNS for c in there) and _never_switched(session, config, target):
        stop = f"`stackctl compose -- stop {server}` ends it, where nobody does"
        found.append(Dependent("whoever uses it", "it ran before stackctl came", stop))
    return list({d.name: d for d in reversed(found)}.values())[::-1]


def _never_switched(session: Session, config: StackConfig, target: Target) -> bool:
    """Whether ``target`` is what was in use at adoption, and nothing was switched since: ``up`` ends no server then."""
    state = read_state(session)
    if target.name != config.default:
        return False
    return state is None or (state.profile == target.name and OFF_PROFILE not in (read_text(session, OVERRIDE) or ""))


def _by_files(
    session: Session, stack: Stack, project: ComposeProject, own: Listener, containers: Sequence[Container]
) -> list[Dependent]:
    from stackctl.commands.context.compose_files import FileReader  # noqa: PLC0415  (the finder takes a while to load)
    from stackctl.project.discovery.discover import discover  # noqa: PLC0415
    from stackctl.project.discovery.source import Source  # noqa: PLC0415

    home = str(session.config_path.parent)
    reader = FileReader(session.files)
    source = Source(project, stack.call.files, reader, home, stack.variables, session.names.is_own)
    return dependents.by_findings(project, stack.config, discover(source), own, containers)
