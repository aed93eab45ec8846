"""``stackctl detach``: the project as it was before stackctl came."""

from __future__ import annotations

from dataclasses import replace

from stackctl.commands.context.project_loader import Stack, load, resolve_project
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import OVERRIDE, read_state, remove_directory, workspace
from stackctl.commands.reconcile.compose_failure import compose_reason
from stackctl.commands.reconcile.executor import NETWORK_LABELS
from stackctl.commands.reconcile.prepare import prepare
from stackctl.commands.reconcile.recover import recover, unfinished
from stackctl.config.target import resolve
from stackctl.errors import StackctlError, StepFailed, WrongInput
from stackctl.outcome import Line, Outcome
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.transaction.state import State


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
            off = _switched_off(session, stack, project, state)
            session.files.remove(session.state_directory / OVERRIDE)
            did += _restore(session, stack, containers, off)
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
    did = []
    for container in containers:
        if container.service not in project.services:
            session.engine.stop(container.name)
            session.engine.remove(container.name)
            did.append(f"removed the container {container.name}")
    return did


def _switched_off(session: Session, stack: Stack, project: ComposeProject, state: State | None) -> tuple[str, ...]:
    """Services that the target in force switches off."""
    if state is None:
        return ()
    try:
        target = resolve(stack.config, state.profile)
        return prepare(session, stack, project, target, pins=state.pins, with_secrets=False).override.off
    except StackctlError as error:
        session.reporter.warn(
            f"{state.profile} cannot be prepared any more ({error.message}); "
            "`docker compose up -d` starts what it had switched off"
        )
        return ()


def _restore(session: Session, stack: Stack, containers: list[Container], off: tuple[str, ...]) -> list[str]:
    """Make anew what runs differently than the user's files alone say, and start what was switched off."""
    wanted = session.engine.hashes(stack.call)
    changed = sorted(
        {
            c.service
            for c in containers
            if c.state == "running" and c.service in wanted and c.config_hash != wanted[c.service]
        }
    )
    if any(c.state == "running" for c in containers):
        changed += [name for name in off if name in wanted]
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
