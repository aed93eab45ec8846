"""``stackctl detach``: the project as it was before stackctl came."""

from __future__ import annotations

from dataclasses import replace

from stackctl.commands.bring import locked
from stackctl.commands.execute import NETWORK_LABELS, compose_reason
from stackctl.commands.observe import OVERRIDE, read_state
from stackctl.commands.outcome import Line, Outcome
from stackctl.commands.recover import recover, unfinished
from stackctl.commands.session import Session
from stackctl.commands.stack import Stack, load, resolve_project
from stackctl.errors import StepFailed
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject


def detach(session: Session, *, purge: bool = False) -> Outcome:
    """Remove ``.stackctl/`` and what stackctl added to the engine.

    Services that the override had changed are made anew from the user's files
    alone, if they run; volumes stay. ``purge`` removes ``stackctl.yaml`` too.
    """
    state = read_state(session)
    stack = load(session, environment=state.environment if state else None)
    project, stack = resolve_project(session, stack)
    did: list[str] = []
    with locked(session, "detach"):
        if unfinished(session):
            recover(session, stack, project)
        containers = session.engine.containers(project.name)
        did += _remove_added(session, project, containers)
        if session.files.read(session.state_directory / OVERRIDE, limit=0) is not None:
            session.files.remove(session.state_directory / OVERRIDE)
            did += _restore(session, stack, containers)
        did += _remove_networks(session, stack, state.networks if state else ())
    session.files.remove(session.state_directory)
    did.append(f"removed {session.state_directory.name}/")
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


def _restore(session: Session, stack: Stack, containers: list[Container]) -> list[str]:
    """Make anew what runs differently than the user's files alone say, and nothing else."""
    wanted = session.engine.hashes(stack.call)
    changed = sorted({
        c.service for c in containers
        if c.state == "running" and c.service in wanted and c.config_hash != wanted[c.service]
    })
    if not changed:
        return []
    call = replace(stack.call, variables={})
    done = session.engine.compose(call, ["--progress", "plain", "up", "--detach", *changed], on_line=session.reporter.detail)
    if done.code:
        raise StepFailed(f"docker compose up failed: {compose_reason(done.error_text)}", hint="docker compose up -d")
    return [f"made anew from your own files: {', '.join(changed)}"]


def _remove_networks(session: Session, stack: Stack, known: tuple[str, ...]) -> list[str]:
    did = []
    for name in dict.fromkeys([*known, *([stack.config.network.shared] if stack.config.network.shared else [])]):
        network = session.engine.network(name)
        ours = network is not None and (network.get("Labels") or {}).get("io.stackctl.role") == NETWORK_LABELS["io.stackctl.role"]
        if network is None or not ours:
            continue
        if network.get("Containers"):
            session.reporter.note(f"the network {name} is still used by others and stays")
            continue
        session.engine.remove_network(name)
        did.append(f"removed the network {name}")
    return did
