"""What every consumer is told: by its container, else by the files, else by the target that is asked about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stackctl.commands.asking import how_to_ask
from stackctl.commands.prepare import Prepared
from stackctl.commands.session import Session
from stackctl.commands.stack import Stack
from stackctl.config.target import Target
from stackctl.diagnose import told as reading
from stackctl.diagnose.scene import Told
from stackctl.errors import StackctlError
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.project.discovery import images
from stackctl.project.discovery.findings import Findings
from stackctl.project.location import read_env_file

_MODEL = re.compile(r"OLLAMA.*MODEL|^LLM_MODEL$|^MODEL_NAME$", re.IGNORECASE)


def told_of(
    session: Session,
    stack: Stack | None,
    project: ComposeProject,
    containers: Sequence[Container],
    found: Findings | None,
    prepared: Prepared | None,
    profile: str | None,
) -> list[Told]:
    """What every consumer is told, by its container or by the files; with ``--profile`` what it would be told too."""
    told: list[Told] = []
    for name, templates in _variables(stack, project, found).items():
        environment, source = _environment(project, containers, name)
        models = _models(stack, prepared, templates, environment)
        for variable, template in templates.items():
            if not re.search(r"\{(?:url|host)\}", template):
                continue
            if variable not in environment:
                continue
            # What discovery reads off the value only copies its faults; a configuration is somebody's word.
            meant = template if found is None else ""
            for one in reading.read(name, variable, environment[variable] or "", source=source, template=meant):
                told.append(_with_instance(session, stack, replace(one, models=models)))
        told += _fixed(name, found, models)
        told += _not_injected(session, project, name, templates, environment)
    if profile and prepared is not None:
        told += _would_be(session, stack, prepared)
    return told


def _variables(stack: Stack | None, project: ComposeProject, found: Findings | None) -> dict[str, dict[str, str]]:
    if stack is not None and stack.config.consumers:
        return {name: dict(c.env) for name, c in stack.config.consumers.items() if name in project.services}
    if found is None:
        return {}
    out: dict[str, dict[str, str]] = {}
    for consumer in found.consumers:
        if consumer.role in ("app", "gateway"):
            out[consumer.service] = {
                s.name: s.template or "{url}" for s in consumer.settings if s.name and s.kind in ("env", "env_file")
            }
    for service in project:
        if images.is_ollama(service.image):
            continue
        for variable in service.environment:
            known = out.get(service.name, {})
            if (
                variable not in known
                and re.search(r"OLLAMA", variable)
                and reading.URLISH.search(variable)
                and not _MODEL.search(variable)
            ):
                out.setdefault(service.name, {})[variable] = "{url}"
    return out


def _environment(
    project: ComposeProject, containers: Sequence[Container], name: str
) -> tuple[Mapping[str, str | None], str]:
    mine = [c for c in containers if c.service == name]
    container = next((c for c in mine if c.state == "running"), mine[0] if mine else None)
    if container is not None:
        return container.environment, "container"
    service = project.services.get(name)
    return ({k: (v or "").replace("$$", "$") for k, v in service.environment.items()} if service else {}), "compose"


def _models(
    stack: Stack | None, prepared: Prepared | None, templates: Mapping[str, str], environment: Mapping[str, str | None]
) -> tuple[str, ...]:
    own = [environment.get(v) or "" for v, t in templates.items() if t == "{model}"]
    own += [v or "" for k, v in environment.items() if _MODEL.search(k) and k not in templates and len(v or "") < 120]
    wanted = list(prepared.target.models) if prepared else list(stack.config.models) if stack else []
    return tuple(dict.fromkeys(m for m in [*own, *wanted] if m and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]*", m)))


def _with_instance(session: Session, stack: Stack | None, told: Told) -> Told:
    """Credentials, TLS and own paths of the instance that this URL is."""
    if stack is None or told.url is None:
        return told
    for name, instance in stack.config.instances.items():
        if (instance.url.host, instance.url.port) == (told.url.host, told.url.port):
            try:
                how = how_to_ask(session, stack, Target("instance", name, instance.url, instances=(name,)))
            except StackctlError:  # a secret that is not there: what it opens will say so
                return told
            return replace(
                told,
                headers=how.headers,
                trust=how.trust,
                server_name=how.server_name,
                verify=how.check_certificate,
                paths=how.paths,
            )
    return told


def _fixed(name: str, found: Findings | None, models: tuple[str, ...]) -> list[Told]:
    """Addresses in commands and files, which an override cannot reach and a probe can."""
    consumer = found.consumer(name) if found else None
    out: list[Told] = []
    for setting in consumer.settings if consumer else ():
        if (
            setting.kind in ("command", "entrypoint", "config_file", "hardcoded")
            and setting.value
            and "://" in setting.value
        ):
            match = re.search(r"https?://[^\s\"',;]+", setting.value)
            if match:
                out += [
                    # Whoever writes a whole endpoint into a command means it.
                    replace(t, models=models, marks=t.marks - {"url.endpoint", "url.v1", "url.api", "url.openai_bare"})
                    for t in reading.read(name, setting.name or setting.kind, match[0], source="compose")
                ]
    return out


def _not_injected(
    session: Session,
    project: ComposeProject,
    name: str,
    templates: Mapping[str, str],
    environment: Mapping[str, str | None],
) -> list[Told]:
    """A variable that ``.env`` holds and nobody passes on."""
    call_directory = Path(project.directory)
    data = session.files.read(call_directory / ".env")
    dotenv = read_env_file(data.decode("utf-8", "replace")) if data else {}
    return [
        Told(name, variable, "", None, marks=frozenset({"value.absent"}), source="compose")
        for variable in templates
        if variable in dotenv and variable not in environment
    ]


def _would_be(session: Session, stack: Stack | None, prepared: Prepared) -> list[Told]:
    out = []
    for consumer, url in prepared.override.told.items():
        pin = prepared.target.pins.get(url.host, "")
        addresses = (pin,) if pin and pin != "host-gateway" else ()
        one = Told(
            consumer,
            "--profile",
            str(url),
            url,
            source="profile",
            addresses=addresses,
            models=prepared.target.models,
            marks=frozenset({"client.native"}),
        )
        out.append(_with_instance(session, stack, one))
    return out
