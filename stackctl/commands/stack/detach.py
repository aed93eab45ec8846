"""``stackctl detach``: the project as it was before stackctl came."""

from __future__ import annotations

from dataclasses import replace

from stackctl.commands.context.project_loader import Stack, load, resolve_project, with_override
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import OVERRIDE, read_state, read_text, remove_directory, workspace
from stackctl.commands.reconcile.compose_failure import compose_reason
from stackctl.commands.reconcile.executor import NETWORK_LABELS
from stackctl.commands.reconcile.prepare import compose_environment
from stackctl.commands.reconcile.recover import recover, unfinished
from stackctl.errors import ComposeFileError, StepFailed, WrongInput
from stackctl.outcome import Line, Outcome
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.transaction.observed import Observed
from stackctl.transaction.sharing import with_sharers

ROLES = frozenset({"ollama", "gateway"})
"""What the label ``io.stackctl.role`` says of containers that stackctl adds to a project."""


def detach(session: Session, *, purge: bool = False) -> Outcome:
    """Remove ``.stackctl/`` and what stackctl added to the engine.

    Services that the override had changed are made anew from the user's files
    alone, if they run; volumes stay. ``purge`` removes ``stackctl.yaml`` too.
    """
    try:
        state = read_state(session)
    except WrongInput:
        # It goes away with the rest; what it would have told is found out from the engine.
        state = None
    stack = load(session, environment=state.environment if state else None)
    project, stack = resolve_project(session, stack)
    did: list[str] = []
    with workspace(session, "detach"):
        if unfinished(session):
            recover(session, stack, project)
        containers = session.engine.containers(project.name)
        did += _remove_added(session, project, containers)
        if session.files.read(session.state_directory / OVERRIDE, limit=0) is not None:
            changed = _changed(session, stack, project, containers)
            session.files.remove(session.state_directory / OVERRIDE)
            did += _restore(session, stack, changed)
        did += _remove_networks(session, stack, state.networks if state else ())
        did += _remove_own(session, project)
    remove_directory(session)
    did.append(f"removed {session.state_directory.relative_to(session.config_path.parent)}/")
    if purge:
        session.files.remove(session.config_path)
        did.append(f"removed {session.config_name}")
    lines = [Line(f"{project.name} is as it was before stackctl", "ok"), *(Line(d, indent=1) for d in did)]
    return Outcome("stackctl.detach/1", {"project": project.name, "did": did}, lines)


def _remove_added(session: Session, project: ComposeProject, containers: list[Container]) -> list[str]:
    """Remove containers that stackctl added, by its label: others of no known service are another file's."""
    did = []
    for container in containers:
        if container.service not in project.services and container.labels.get("io.stackctl.role") in ROLES:
            session.engine.stop(container.name)
            session.engine.remove(container.name)
            did.append(f"removed the container {container.name}")
    return did


def _changed(session: Session, stack: Stack, project: ComposeProject, containers: list[Container]) -> list[str]:
    """Services that are as the override made them, and those that it switched off.

    What differs from the user's files without the override's doing is left alone,
    and so is everything of a stack that does not run.
    """
    if not any(c.state == "running" for c in containers):
        return []
    every = (*stack.call.profiles, "*")
    wanted = session.engine.hashes(replace(stack.call, profiles=every))
    variables = compose_environment(session, stack, read_text(session, OVERRIDE), with_secrets=False)
    call = replace(with_override(session, stack), variables=variables)
    try:
        made = session.engine.hashes(replace(call, profiles=every))
        active = set(session.engine.hashes(call))
    except ComposeFileError as error:
        session.reporter.warn(f"the override cannot be read any more ({error.message}); what differs is made anew")
        made, active = {}, set(project.services)
    changed = {
        c.service
        for c in containers
        if c.state == "running"
        and c.service in wanted
        and wanted[c.service] not in (c.config_hash, made.get(c.service))
    }
    off = {name for name in project.active - active if not any(c.service == name for c in containers)}
    observed = Observed(tuple(containers), None, None)
    return list(with_sharers(project, wanted, dict.fromkeys(sorted(changed | off), ""), observed))


def _restore(session: Session, stack: Stack, changed: list[str]) -> list[str]:
    """Make these services anew from the user's files alone, and start those that were switched off."""
    if not changed:
        return []
    call = replace(stack.call, variables={})
    done = session.engine.compose(
        call, ["--progress", "plain", "up", "--detach", *changed], on_line=session.reporter.detail
    )
    if done.code:
        raise StepFailed(f"docker compose up failed: {compose_reason(done.error_text)}", hint="docker compose up -d")
    return [f"made anew from your own files: {', '.join(changed)}"]


def _remove_own(session: Session, project: ComposeProject) -> list[str]:
    """Networks and volumes that carry this project's label of ours; the models' volume carries none."""
    did = []
    label = {"io.stackctl.project": project.name}
    for network in session.engine.networks(label):
        session.engine.remove_network(str(network["Name"]))
        did.append(f"removed the network {network['Name']}")
    for volume in session.engine.volumes(label):
        session.engine.remove_volume(str(volume["Name"]))
        did.append(f"removed the volume {volume['Name']}")
    return did


def _remove_networks(session: Session, stack: Stack, known: tuple[str, ...]) -> list[str]:
    did = []
    for name in dict.fromkeys([*known, *([stack.config.network.shared] if stack.config.network.shared else [])]):
        network = session.engine.network(name)
        ours = (
            network is not None
            and (network.get("Labels") or {}).get("io.stackctl.role") == NETWORK_LABELS["io.stackctl.role"]
        )
        if network is None or not ours:
            continue
        if network.get("Containers"):
            session.reporter.note(f"the network {name} is still used by others and stays")
            continue
        session.engine.remove_network(name)
        did.append(f"removed the network {name}")
    return did
