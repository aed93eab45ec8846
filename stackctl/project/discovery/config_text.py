"""The commented text of ``stackctl.yaml`` from what was found. Deterministic: the same findings, the same text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stackctl.config.url import HOST_ALIAS, OllamaUrl, UrlError
from stackctl.project.discovery.address import HOST_NAMES, addresses
from stackctl.project.discovery.discover import choose_local
from stackctl.project.discovery.findings import Consumer, Findings, OllamaService, Setting
from stackctl.project.discovery.names import says_ollama

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
    """What the user decided, or what is safe; ``origin`` is which project that was."""

    origin: Origin = Origin()
    local: str = ""
    companions: bool = True


@dataclass(frozen=True)
class Present:
    """An Ollama outside the project that consumers use today."""

    name: str
    url: str
    consumers: tuple[str, ...]


def render_config(findings: Findings, choices: Choices) -> str:
    """The whole text, ending in a newline."""
    sections = [
        _HEADER.rstrip("\n").splitlines(),
        list(_compose(choices)),
        list(_consumers(findings, choices)),
        list(_unreachable(findings)),
        list(_models(findings)),
        list(_local(findings, choices)),
        list(_instances(findings)),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


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
    listed = in_config(findings)
    yield "# The services that use Ollama. {url} is the active one; also {scheme} {host} {port} {model} {token}."
    if not listed:
        yield "consumers: {}"
        yield "#   backend:"
        yield '#     env: {OLLAMA_URL: "{url}"}'
        return
    yield "consumers:"
    for consumer in listed:
        yield from _consumer(consumer, choices)


def _consumer(consumer: Consumer, choices: Choices) -> Iterator[str]:
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
    yield from _companions(consumer, choices)
    for setting in consumer.settings:
        if setting.template is None:
            yield f"    # not reached: {one_line(_named(setting))}: {one_line(setting.reason)}"


def _companions(consumer: Consumer, choices: Choices) -> Iterator[str]:
    """The variables that make the app heed its address, where they were chosen, and what is to be known of it."""
    if consumer.companions and choices.companions:
        yield f"      # {one_line('; '.join(consumer.notes[:1]))}"
        for name, value in consumer.companions:
            yield f"      {quoted(name)}: {json.dumps(value)}"
    elif consumer.notes:
        yield from (f"      # {one_line(note)}" for note in consumer.notes)
        if consumer.companions:
            heeds = ", ".join(f"{k}: {json.dumps(v)}" for k, v in consumer.companions)
            yield f"      # to make it heed the environment: {heeds}"


def _today(setting: Setting) -> str:
    value = setting.value
    now = "not set today" if value is None else "empty today" if not value.strip() else f"today {value}"
    place = setting.evidence + (f" ({setting.kind})" if setting.kind != "env" else "")
    return "; ".join(x for x in (f"{place}: {now}", setting.note) if x)


def _named(setting: Setting) -> str:
    where = f" ({setting.evidence})" if setting.evidence and setting.evidence.split(":")[0] != setting.name else ""
    return f"{setting.kind} {setting.name or ''}".strip() + where


def _unreachable(findings: Findings) -> Iterator[str]:
    blind = [c for c in findings.consumers if not c.switchable]
    pullers = [c.service for c in findings.consumers if c.switchable and c.goes_with_server]
    if blind:
        yield "# These use Ollama too, and an override cannot point them elsewhere:"
    for consumer in blind:
        label = f"{consumer.service} ({consumer.app or consumer.role})"
        yield f"#   {one_line(label)}: {one_line(consumer.reason or '')}"
        yield from (f"#     {one_line(note)}" for note in consumer.notes)
    helpers = [*pullers, *(h.service for h in findings.helpers)]
    if helpers:
        yield f"# Only pull models, and go off together with the project's own Ollama: {one_line(', '.join(helpers))}"


def _models(findings: Findings) -> Iterator[str]:
    if findings.models:
        yield "# What the project's own helpers pull; present before a consumer is pointed at a target."
        yield f"models: [{', '.join(quoted(m) if ':' not in m else json.dumps(m) for m in findings.models)}]"
    else:
        yield '# models: ["llama3.2:1b"]    # must be there before a consumer is pointed at a target'


def _local(findings: Findings, choices: Choices) -> Iterator[str]:
    chosen = choose_local(findings.ollama_services, choices.local)
    server = next((s for s in findings.ollama_services if s.service == chosen), None)
    if server is None:
        yield "# The Ollama container that `stackctl up local` adds:"
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
        users = ", ".join(instance.consumers)
        yield f"  {quoted(instance.name)}: {{url: {json.dumps(instance.url)}}}    # used today by {one_line(users)}"


def present_instances(findings: Findings) -> list[Present]:
    """The servers outside the project that its consumers use today, the host's first."""
    users: dict[str, list[str]] = {}
    for consumer in findings.consumers:
        for setting in consumer.settings:
            url = _outside(setting)
            if url and consumer.service not in users.setdefault(url, []):
                users[url].append(consumer.service)
    found: list[Present] = []
    for url in sorted(users, key=lambda u: HOST_ALIAS not in u):
        name = _instance_name(url, [p.name for p in found])
        found.append(Present(name, url, tuple(users[url])))
    return found


def _outside(setting: Setting) -> str | None:
    if setting.points_at not in ("host", "external") or not setting.value or setting.template == "{port}":
        return None
    found = addresses(setting.value, whole=True)
    if not found:
        return None
    first = found[0]
    if "." not in first.host and says_ollama(first.host):
        return None  # the name that a container of a project has, and no server's elsewhere
    host = HOST_ALIAS if first.host.lower() in HOST_NAMES else first.host
    port = first.port or (443 if first.scheme == "https" else 80 if first.scheme else 11434)
    try:
        return str(OllamaUrl.parse(f"{first.scheme or 'http'}://{host}:{port}"))
    except UrlError:
        return None


def _instance_name(url: str, taken: Sequence[str]) -> str:
    parsed = OllamaUrl.parse(url)
    if parsed.host == HOST_ALIAS:
        base = "host"
    elif parsed.ip is not None:
        base = "remote"
    else:
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", parsed.host.split(".", 1)[0]).strip("-_").lower() or "remote"
        base = "remote" if base == "local" or not re.match(r"[a-z0-9]", base) else base
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}-{count}"
    return name
