"""Set the scene for ``diagnose``: everything of the project and the engine that can be read at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackctl.commands.context.compose_files import FileReader, compose_files
from stackctl.commands.context.compose_reading import active_services, blame, whole_config
from stackctl.commands.context.project_loader import Stack, load_in_force, resolve_project
from stackctl.commands.context.session import Session
from stackctl.commands.diagnosing.consumer_settings import settings_of_consumers, would_be
from stackctl.commands.reconcile.prepare import Prepared, choose_profile, prepare
from stackctl.config.target import passed_over, resolve
from stackctl.config.url import OllamaUrl
from stackctl.diagnose.questions import number
from stackctl.diagnose.scene import Scene, UrlSetting
from stackctl.errors import ComposeFileError, StackctlError, UsageError
from stackctl.ports import ComposeCall, Container
from stackctl.project.compose import ComposeProject
from stackctl.project.discovery import images
from stackctl.project.discovery.discover import discover
from stackctl.project.discovery.findings import Findings
from stackctl.project.discovery.source import Source
from stackctl.project.location import read_env_file
from stackctl.threads import together

LOG_LINES = 120
LONGEST_LINE = 2000


@dataclass(frozen=True)
class DiagnosedProject:
    """The scene with what acting on it needs. ``call`` is what Compose is to be called with."""

    scene: Scene
    call: ComposeCall
    stack: Stack | None
    prepared: Prepared | None
    profile: str | None
    environment: str | None
    consumers: tuple[str, ...]
    meant: Mapping[str, OllamaUrl] = field(default_factory=dict)


def set_stage(session: Session, services: Sequence[str], profile: str | None) -> DiagnosedProject:
    """Read the files, Compose's view, the engine's containers, networks and logs; nothing is tried yet.

    Raises :class:`UsageError` for a service that is no consumer,
    :class:`ComposeFileError` where Compose refuses the project.
    """
    stack, call, state = _which(session)
    with together(8) as pool:
        configured = pool.submit(_config, session, call)
        everything = pool.submit(session.engine.containers, None)
        info = pool.submit(session.engine.info)
        preparing = pool.submit(_prepared, session, stack, state, profile)
        raw, warnings = configured.result()
        project = ComposeProject.from_config(
            raw, directory=str(call.directory), active=active_services(raw, call.profiles)
        )
        call = replace(call, project=project.name)
        mine, others = _split(everything.result(), project.name)
        logs = pool.submit(_logs, session, mine)
        prepared, name = preparing.result()
        found = _findings(session, call, project)
        servers = _servers(project, stack, found)
        settings = settings_of_consumers(session, stack, project, mine, found, prepared, servers=servers)
        if profile and prepared is not None:
            settings += would_be(session, stack, prepared)
        there = {c.service for c in mine}
        settings = [
            t for t in settings if t.consumer in there or t.consumer in services or _is_meant(project, t.consumer)
        ]
        consumers = _chosen(services, settings, project)
        running = {c.service for c in mine if c.state == "running"}
        scene = Scene(
            project=project,
            containers=mine,
            others=others,
            # Where all consumers run, networks say nothing that is needed before something fails.
            networks=() if set(consumers) <= running else tuple(session.engine.networks(None)),
            info=info.result(),
            settings=tuple(number(t for t in settings if t.consumer in consumers)),
            compose=_spoken(session, stack, call),
            logs=logs.result(),
            warnings=warnings,
            dotenv=_dotenv(session, call),
            shell=session.variables,
            ollama_services=servers,
            unasked=frozenset(t.consumer for t in settings) - set(consumers),
            verified=state.url if state and state.verified else "",
            now=session.clock(),
        )
    meant = dict(prepared.override.told) if prepared else {}
    return DiagnosedProject(
        scene, call, stack, prepared, name, stack.environment if stack else session.environment, consumers, meant
    )


def _which(session: Session) -> tuple[Stack | None, ComposeCall, Any]:
    """The configuration where there is one, and the files in force, ours included."""
    if session.files.read(session.config_path, limit=0) is None:
        if session.config_name != "stackctl.yaml":
            raise UsageError(f"no {session.config_name} in {session.directory}")
        paths = compose_files(session, ())
        named = session.variables.get("COMPOSE_PROFILES", "")
        profiles = tuple(p.strip() for p in named.split(",") if p.strip())
        return None, ComposeCall(paths[0].parent, _ours(session, tuple(str(p) for p in paths)), profiles=profiles), None
    state, stack = load_in_force(session)
    return stack, replace(stack.call, files=_ours(session, stack.call.files)), state


def _ours(session: Session, files: tuple[str, ...]) -> tuple[str, ...]:
    """The files with ours after them: the repairs of ``diagnose --fix``, and the override, which wins."""
    for name in ("fixes.yaml", "override.yaml"):
        path = session.state_directory / name
        if session.files.read(path, limit=0) is not None:
            files = (*files, str(path))
    return files


def _config(session: Session, call: ComposeCall) -> tuple[dict[str, Any], str]:
    """What Compose resolves, with every profile, and its warnings."""
    warnings: list[str] = []
    try:
        return whole_config(session.engine, call, on_warnings=warnings.append), "\n".join(warnings)
    except ComposeFileError as refusal:
        blame(session, call.files, refusal)
        raise


def _split(containers: Sequence[Container], project: str) -> tuple[tuple[Container, ...], tuple[Container, ...]]:
    mine = [c for c in containers if c.labels.get("com.docker.compose.project") == project]
    probes = {c.id for c in containers if c.labels.get("io.stackctl.role") == "probe"}
    known = {c.id for c in mine} | probes
    return tuple(mine), tuple(c for c in containers if c.id not in known)


def _logs(session: Session, containers: Sequence[Container]) -> dict[str, str]:
    """The end of each container's log, by the container's name."""
    found = {c.name: session.engine.logs(c.id, tail=LOG_LINES) for c in containers}
    return {name: "\n".join(line[:LONGEST_LINE] for line in text.splitlines()) for name, text in found.items()}


def _prepared(
    session: Session, stack: Stack | None, state: Any, profile: str | None
) -> tuple[Prepared | None, str | None]:
    if stack is None:
        if profile:
            raise UsageError("--profile needs a stackctl.yaml", hint="stackctl init")
        return None, None
    own, stack = resolve_project(session, stack)
    name = choose_profile(stack, own, state, profile)
    try:
        before = passed_over(stack.config, name, state.url) if state and not profile else ()
        target, pins = resolve(stack.config, name, without=before), state.pins if state else {}
        return prepare(session, stack, own, target, pins=pins, with_secrets=False), name
    except StackctlError:
        if profile:
            raise
        return None, name


def _findings(session: Session, call: ComposeCall, project: ComposeProject) -> Findings:
    """Discovery: who the consumers are, and who uses the project's server beside those that are configured."""
    source = Source(project, call.files, FileReader(session.files), str(session.directory), session.variables)
    return discover(source)


def _is_meant(project: ComposeProject, service: str) -> bool:
    """Whether ``up`` would make a container of it: its profile is on, and it is not scaled to none."""
    return service in project.active and not project.services[service].is_scaled_to_none


def _servers(project: ComposeProject, stack: Stack | None, found: Findings | None) -> tuple[str, ...]:
    names = [s.service for s in found.ollama_services] if found else []
    names += [s.name for s in project if images.is_ollama(s.image)]
    if stack is not None and stack.config.local.service in project.services:
        names.insert(0, stack.config.local.service)
    if not names and "ollama" in project.services:
        names.append("ollama")
    return tuple(dict.fromkeys(names))


def _chosen(services: Sequence[str], settings: Sequence[UrlSetting], project: ComposeProject) -> tuple[str, ...]:
    known = tuple(dict.fromkeys(s.consumer for s in settings))
    for service in services:
        if service not in project.services:
            raise UsageError(
                f'no service "{service}" in {project.name}', hint=f"consumers: {', '.join(known) or 'none'}"
            )
        if service not in known:
            raise UsageError(f'"{service}" is told no Ollama', hint=f"consumers: {', '.join(known) or 'none'}")
    return tuple(s for s in known if not services or s in services)


def _spoken(session: Session, stack: Stack | None, call: ComposeCall) -> str:
    """How to call Compose for this very project, from the user's directory."""
    if stack is not None:
        return "stackctl compose --"
    plain = compose_files(session, ()) if stack is None else []
    if (
        tuple(str(p) for p in plain) == tuple(f for f in call.files if ".stackctl" not in f)
        and call.directory == session.directory
    ):
        return "docker compose"
    return "docker compose " + " ".join(f"-f {f}" for f in call.files)


def _dotenv(session: Session, call: ComposeCall) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in call.env_files or (str(call.directory / ".env"),):
        data = session.files.read(call.directory / path)
        if data is not None:
            found.update(read_env_file(data.decode("utf-8", "replace")))
    return found


def texts_of(session: Session, call: ComposeCall) -> dict[str, str]:
    """The user's Compose files, and the ``env_file`` of each service under ``env_file:SERVICE:PATH``."""
    import yaml  # noqa: PLC0415

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, str] = {}
    for path in call.files:
        if ".stackctl" in Path(path).parts:
            continue
        text = FileReader(session.files).text(path)
        if text is None:
            continue
        found[path] = text
        try:
            services = (yaml.load(text, Loader=loader) or {}).get("services") or {}  # noqa: S506  (a safe loader)
        except (yaml.YAMLError, AttributeError):
            continue
        for name, service in services.items():
            entries = (service or {}).get("env_file") or []
            for entry in [entries] if isinstance(entries, str | dict) else entries:
                file = entry.get("path") if isinstance(entry, dict) else entry
                content = FileReader(session.files).text(str(call.directory / str(file)))
                if content is not None:
                    found[f"env_file:{name}:{file}"] = content
    return found
