"""The commented text of ``stackctl.yaml`` from what was found. Deterministic: the same findings, the same text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from stackctl.config.url import OllamaUrl
from stackctl.project.discovery.address import addresses
from stackctl.project.discovery.elsewhere import present_instances
from stackctl.project.discovery.findings import Consumer, Findings, OllamaService, Setting
from stackctl.project.discovery.staying import in_use

DEFAULT_SERVICE = "ollama"
_PLAIN = re.compile(r"^[A-Za-z_][A-Za-z0-9_.-]*$")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"}
_HEADER = """\
# stackctl.yaml: which services use Ollama here, and how each is told.
# Written by `stackctl init` and yours from now on; it changed no other file.
version: 1
"""


@dataclass(frozen=True)
class Origin:
    """What the ``compose`` section is to say: what plain ``docker compose`` would not find here by itself."""

    project: str = ""
    files: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choices:
    """What the user decided (``asked``), or what is safe.

    ``origin`` is which project that was, ``local`` the service of its own server, ``default`` the profile in use today.
    """

    origin: Origin = Origin()
    local: str = ""
    default: str = ""
    asked: bool = False


def render_config(findings: Findings, choices: Choices) -> str:
    """The whole text, ending in a newline."""
    sections = [
        _HEADER.rstrip("\n").splitlines(),
        list(_compose(choices)),
        list(_consumers(findings, choices)),
        list(_unreachable(findings, choices)),
        list(_models(findings)),
        list(_local(findings, choices)),
        list(_instances(findings)),
        list(_default(findings, choices)),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def fixed_in(findings: Findings, local: str) -> list[tuple[Consumer, Setting]]:
    """The consumers of the local server that no override can tell another, with the place that tells them."""
    held = [(c, c.fixed_at(local)) for c in findings.consumers] if local else []
    return [(consumer, setting) for consumer, setting in held if setting is not None]


def in_config(findings: Findings) -> list[Consumer]:
    """The consumers that the file is to list: within an override's reach, without pullers that go with the server."""
    return [c for c in findings.consumers if c.switchable and not c.goes_with_server]


def quoted(text: str) -> str:
    """A YAML scalar: plain where nothing could take it for more, else in double quotes."""
    if _PLAIN.match(text) and text.lower() not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def one_line(text: str) -> str:
    """Text for a comment: one line, without control characters, not endless."""
    flat = re.sub(r"[\x00-\x1f\x7f-\x9f\s\u2028\u2029]+", " ", text).strip()
    return flat if len(flat) <= 300 else flat[:297] + "…"


def _compose(choices: Choices) -> Iterator[str]:
    origin = choices.origin
    if origin != Origin():
        yield "compose:"
    if origin.project:
        yield f"  project: {quoted(origin.project)}"
    for key in ("files", "env_files", "profiles"):
        if listed := getattr(origin, key):
            yield f"  {key}: [{', '.join(json.dumps(f, ensure_ascii=False) for f in listed)}]"


def _consumers(findings: Findings, choices: Choices) -> Iterator[str]:
    listed, fixed = in_config(findings), fixed_in(findings, choices.local)
    yield "# The services that use Ollama. {url} is the active one; also {scheme} {host} {port} {model} {token}."
    if not listed and not fixed:
        yield "consumers: {}"
        yield "#   backend:"
        yield '#     env: {OLLAMA_URL: "{url}"}'
        return
    yield "consumers:"
    for consumer in listed:
        yield from _consumer(consumer)
    for consumer, setting in fixed:
        yield from _fixed(consumer, setting, choices.local)


def _fixed(consumer: Consumer, setting: Setting, local: str) -> Iterator[str]:
    now = f"today {setting.value}; " if setting.value else ""
    yield f"  {quoted(consumer.service)}:    # {one_line(f'{now}{consumer.reason}')}"
    yield f"    fixed: {json.dumps(setting.evidence, ensure_ascii=False)}"
    if says_name(setting, local):
        name = quoted(consumer.service)
        yield f"    # with `gateway: true`, write `{name}: {{}}`: the gateway takes over the name `{local}`"


def says_name(setting: Setting, local: str) -> bool:
    """Whether the address in it is the local server's name, which the gateway takes over."""
    found = addresses(setting.value or "", whole=True)
    return bool(found) and found[0].host == local


def _consumer(consumer: Consumer) -> Iterator[str]:
    label = ", ".join(x for x in (consumer.app, "" if consumer.role == "app" else consumer.role) if x)
    yield f"  {quoted(consumer.service)}:" + (f"    # {one_line(label)}" if label else "")
    for key, words in consumer.arguments:
        places = [s for s in consumer.settings if s.kind == key and s.template is not None]
        now = "; ".join(one_line(_today(s)) for s in places)
        yield f"    {key}: [{', '.join(json.dumps(w, ensure_ascii=False) for w in words)}]    # {now}"
    if consumer.templates:
        yield "    env:"
    for setting in consumer.settings:
        if setting.name and setting.template is not None and setting.kind not in ("command", "entrypoint"):
            template = json.dumps(setting.template, ensure_ascii=False)
            yield f"      {quoted(setting.name)}: {template}    # {one_line(_today(setting))}"
    for model in consumer.models:
        if model.template is not None:
            now = f"{model.evidence}: today {one_line(model.value)}"
            yield f"      {quoted(model.name)}: {json.dumps(model.template)}    # {now}"
    yield from (f"      # {one_line(note)}" for note in consumer.notes)
    for setting in consumer.settings:
        if setting.template is None:
            yield f"    # left as it is: {one_line(_named(setting))}: {one_line(setting.reason)}"


def _today(setting: Setting) -> str:
    value = setting.value
    now = "not set today" if value is None else "empty today" if not value.strip() else f"today {value}"
    place = setting.evidence + (f" ({setting.kind})" if setting.kind != "env" else "")
    return "; ".join(x for x in (f"{place}: {now}", setting.note) if x)


def _named(setting: Setting) -> str:
    where = f" ({setting.evidence})" if setting.evidence and setting.evidence.split(":")[0] != setting.name else ""
    return f"{setting.kind} {setting.name or ''}".strip() + where


def _unreachable(findings: Findings, choices: Choices) -> Iterator[str]:
    fixed = {c.service for c, _ in fixed_in(findings, choices.local)}
    blind = [c for c in findings.consumers if not c.switchable and c.service not in fixed]
    pullers = [c.service for c in findings.consumers if c.switchable and c.goes_with_server]
    if blind:
        yield "# These use Ollama too, and are left as they are:"
    for consumer in blind:
        label = f"{consumer.service} ({consumer.app or consumer.role})"
        yield f"#   {one_line(label)}: {one_line(consumer.reason or '')}"
        yield from (f"#     {one_line(note)}" for note in consumer.notes)
    helpers = [*pullers, *(h.service for h in findings.helpers)]
    if helpers:
        yield f"# Only pull models, and go off together with the project's own Ollama: {one_line(', '.join(helpers))}"


def _models(findings: Findings) -> Iterator[str]:
    if findings.models:
        yield "# What the project asks for or pulls; a target must have it. {model} stands for the first."
        yield f"models: [{', '.join(quoted(m) if ':' not in m else json.dumps(m) for m in findings.models)}]"
    else:
        yield "# models: []    # must be there before a consumer is pointed at a target"


def _local(findings: Findings, choices: Choices) -> Iterator[str]:
    chosen = choices.local
    server = next((s for s in findings.ollama_services if s.service == chosen), None)
    if server is None:
        yield "# The Ollama container that `stackctl up local` adds:"
        if any(OllamaUrl.parse(i.url).host == DEFAULT_SERVICE for i in present_instances(findings)):
            # Another project's container has that name where the consumers are.
            yield f"local: {{service: {DEFAULT_SERVICE}-local, gpu: auto, volume: ollama_data}}"
        else:
            yield "# local: {gpu: auto, volume: ollama_data}"
        return
    others = [s.service for s in findings.ollama_services if s.service != chosen and not s.bundled]
    yield "# The project's own Ollama: its image, volume and GPU stay as its Compose file says."
    yield f"# {one_line(describe(server))}"
    if others:
        yield f"# Not taken: {one_line(', '.join(others))}"
    yield "local:"
    yield f"  service: {quoted(server.service)}"


def describe(server: OllamaService) -> str:
    """One line about an Ollama service."""
    parts = [
        f"{server.evidence}: {'; '.join(server.why)}",
        f"volume {', '.join(server.volumes)}" if server.volumes else "no volume for its models",
        f"GPU {server.gpu}",
        f"healthcheck {server.healthcheck}" if server.healthcheck else "no healthcheck",
        f"published on {', '.join(server.ports)}" if server.ports else "no published port",
    ]
    return "; ".join(parts)


def _instances(findings: Findings) -> Iterator[str]:
    found = present_instances(findings)
    if not found:
        yield "# Ollama servers elsewhere; each is a profile: stackctl switch gpu-box"
        yield "# instances:"
        yield '#   gpu-box: {url: "http://192.168.1.100:11434"}'
        return
    yield "# Ollama servers elsewhere; each is a profile: `stackctl switch NAME`."
    yield "instances:"
    for instance in found:
        said = ", ".join(x for x in (f"url: {json.dumps(instance.url)}", instance.auth) if x)
        used = f"used today by {one_line(', '.join(instance.consumers))}"
        needs = f"; give {' and '.join(instance.needs)} in the environment or an env file" if instance.needs else ""
        yield f"  {quoted(instance.name)}: {{{said}}}    # {used}{needs}"
    if any(i.auth for i in found):
        yield "# Who needs credentials is reached behind the gateway, which adds them: gateway: true"


def default_name(findings: Findings, local: str) -> str:
    """The profile that is in use today; empty where nobody uses anything that can be named."""
    target = in_use(findings, local)
    if target == f"service:{local}":
        return "local"
    return next((i.name for i in present_instances(findings) if i.url == target), "")


def _default(findings: Findings, choices: Choices) -> Iterator[str]:
    if choices.default:
        yield "# What a plain `stackctl up` means before any switch: what is in use today."
        yield f"default: {quoted(choices.default)}"
    keeping = [c for c in in_config(findings) if c.keeps]
    if keeping:
        names = ", ".join(c.service for c in keeping)
        yield f"# Recommended: {one_line(names)} may hold the address in a database of its own, which no"
        yield "# variable changes; the gateway takes over the name that it holds."
        yield "# gateway: true"
