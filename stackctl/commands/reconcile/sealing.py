"""Seal a stack that was just verified: see :mod:`stackctl.commands.reconcile.seal`."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from stackctl.commands.context.compose_files import FileReader
from stackctl.commands.context.project_loader import FIXES, Stack
from stackctl.commands.context.referenced_files import certificates
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile import own_check, report
from stackctl.commands.reconcile.gpu_choice import DRI, KFD
from stackctl.commands.reconcile.observe import JOURNAL, OVERRIDE, STATE, observe
from stackctl.commands.reconcile.pipeline import Brought, Ground
from stackctl.commands.reconcile.seal import Seal, Told, abilities, digest, facts, parse
from stackctl.commands.reconcile.verify import containers_of, own_http
from stackctl.config.models import Verify
from stackctl.config.target import resolve
from stackctl.config.url import OllamaUrl
from stackctl.diagnose.plan import ladder
from stackctl.errors import StackctlError
from stackctl.nearby import SEAL, Get
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.project.discovery import raw
from stackctl.project.location import default_files
from stackctl.transaction.observed import Observed, changes

_INCLUDES = re.compile(r"""(?<![\w-])include["']?\s*:""")
"""A file that is included may bring an environment of its own."""
MARGIN = 11_000_000
"""Nanoseconds: longer than a tick of the clock by which file systems tell the time."""
SHADOWING = frozenset({"/", "/etc", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"})
"""Where a mount of the user's would make the container resolve names by files that the engine does not know."""


@dataclass(frozen=True)
class Sealing:
    """What is to be sealed: the stack, what came of bringing it up, and since when its files were read (ns)."""

    session: Session
    stack: Stack
    project: ComposeProject
    brought: Brought
    title: str
    began: int


def seal(what: Sealing) -> None:
    """Write the seal where all that ``up`` rested on can be told; the caller holds the lock.

    Only a saving of time: where it cannot be had, nothing is said and nothing fails.
    """
    session = what.session
    if not session.nearby:
        return
    path = session.state_directory / SEAL
    try:
        before = parse((session.files.read(path) or b"").decode("utf-8", "replace"))
        made = _seal(what, before.salt if before else secrets.token_hex(16))
        if made is not None:
            session.files.write(path, made.to_json().encode())
    except StackctlError as error:
        session.reporter.detail(f"not sealed: {error.message}")


def _seal(what: Sealing, salt: str) -> Seal | None:
    session, stack, brought = what.session, what.stack, what.brought
    ground, state = brought.ground, brought.state
    parts = session.engine.parts()
    if ground is None or state is None or not parts or not _plain(what, ground):
        return None
    paths = _paths(what, parts)
    if paths is None:
        return None
    theirs = {path: session.files.mark(Path(path)) for path in paths}
    if any(_changed(mark, what.began) for mark in theirs.values()):
        return None
    ours = {str(session.state_directory / name) for name in (STATE, OVERRIDE, FIXES, JOURNAL)}
    observed = observe(session, what.project, state, services=list(what.project.services))
    if changes(what.project, ground.hashes, observed, stack.config.local.service) or not _well(observed):
        return None
    images = {service.image for service in what.project if service.name in ground.hashes and service.image}
    running = containers_of(stack.config, observed.containers)
    if not images <= set(observed.images):
        return None
    if any(name not in running or _shadowed(running[name]) for name in ground.told):
        return None
    target = ground.prepared.target
    return Seal(
        config=os.path.normpath(session.config_path),
        environment=stack.environment,
        profile=target.name,
        project=what.project.name,
        variables=digest(session.variables, salt),
        salt=salt,
        title=what.title,
        marks={**theirs, **{path: session.files.mark(Path(path)) for path in sorted(ours)}},
        containers={c.id: facts(c.raw) for c in observed.containers},
        images=dict(observed.images),
        engine=abilities(session.engine.info().raw) if target.needs_local else None,
        told={name: _told(stack, name, url, running[name]) for name, url in ground.told.items()},
        models=ground.how.models,
        data={**report.data_of(brought), "changed": False, "plan": []},
    )


def _plain(what: Sealing, ground: Ground) -> bool:
    """Whether the same question would come to the same end again: no resolver of the host, no secret, no choice."""
    config, target, state = what.stack.config, ground.prepared.target, what.brought.state
    return (
        what.brought.applied
        and what.brought.degraded is None
        and state is not None
        and state.verified is not None
        and not config.gateway
        and target.kind in ("local", "instance")
        and target.name not in config.profiles
        and target.url.scheme == "http"
        and not (ground.how.headers or ground.how.paths)
        and dict(target.pins) == dict(resolve(config, target.name).pins)
        and not any(c.verify and _by_other_means(c.verify) for c in config.consumers.values())
        and {v.consumer for v in what.brought.verified if v.ok} == set(ground.told)
    )


def _told(stack: Stack, consumer: str, url: OllamaUrl, container: Container) -> Told:
    asks = {ask.id: Get(url.host, url.port, ask.path) for ask in ladder(url).asks}
    own = own_http(stack.config, consumer)
    aim = own_check.aim(own) if own else None
    check = Get(aim.url.host, aim.url.port, aim.asks[0].path) if aim else None
    return Told(container.id, str(url), asks["version"], asks["tags"], check)


def _by_other_means(verify: Verify) -> bool:
    return bool(verify.exec) or (verify.http or "").startswith("https:")


def _changed(mark: str, began: int) -> bool:
    """Whether a file may have been written after it was read."""
    return bool(mark) and int(mark.rpartition(" ")[2]) > began - MARGIN


def _well(observed: Observed) -> bool:
    return all(c.health in (None, "healthy") and c.state in ("running", "exited") for c in observed.containers)


def _shadowed(container: Container) -> bool:
    mounts = {str(m.get("Destination")) for m in container.raw.get("Mounts") or []}
    sandbox = (container.raw.get("NetworkSettings") or {}).get("SandboxKey")
    return bool(mounts & SHADOWING) or not sandbox


def _paths(what: Sealing, parts: tuple[str, ...]) -> list[str] | None:
    """Every file that was read, and those that would be if they were there; None where that cannot be told."""
    session, stack, project = what.session, what.stack, what.project
    base, directory = session.config_path.parent, stack.call.directory
    found = [session.config_path, base / ".env", directory / ".env", *map(Path, stack.call.files)]
    found += map(Path, (*stack.call.env_files, *parts, KFD, DRI))
    found += [base / name for _, name in certificates(stack.tree)]
    if not stack.config.compose.files:
        found += _looked_for(session, stack, base)
    named = _named(session, stack)
    if named is None:
        return None
    found += map(Path, named)
    for part in (*project.configs.values(), *project.secrets.values()):
        if part.get("file"):
            found.append(directory / str(part["file"]))
    return sorted({str(path) for path in found})


def _named(session: Session, stack: Stack) -> list[str] | None:
    """Files that the Compose files name: what they extend, each ``env_file``; None where there may be others."""
    written = raw.load(stack.call.files, FileReader(session.files), stack.variables)
    layers = [layer for service in written.layers.values() for layer in service]
    if any(_INCLUDES.search(text) for text in written.texts.values()) or any("label_file" in la.keys for la in layers):
        return None
    env_files = [str(entry.text) for layer in layers for entry in layer.env_files]
    # One that is not there may be one whose name Compose reads otherwise.
    if not all(session.files.mark(Path(path)) for path in env_files):
        return None
    return [*written.texts, *env_files]


def _looked_for(session: Session, stack: Stack, base: Path) -> list[Path]:
    """Where Compose looks for its files, up to where it found one."""
    tried: list[Path] = []

    def is_file(path: Path) -> bool:
        tried.append(path)
        return session.files.mark(path) != ""

    default_files(base, stack.variables, is_file)
    return tried
