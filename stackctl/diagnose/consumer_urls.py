"""The URLs that the consumers of a project are told: by their containers, else by the files. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from stackctl.config.url import is_private
from stackctl.diagnose import embedded, url_text
from stackctl.diagnose import http_reply as http
from stackctl.diagnose.answers import ProbeAnswers
from stackctl.diagnose.model_variables import models_of, names_a_model, shared
from stackctl.diagnose.scene import UrlSetting
from stackctl.diagnose.sign import Sign
from stackctl.ports import Container
from stackctl.project import telling
from stackctl.project.compose import ComposeProject, Service
from stackctl.project.discovery import images
from stackctl.project.discovery.address import addresses
from stackctl.project.discovery.findings import Findings
from stackctl.project.discovery.names import is_address, is_host, is_openai, partner_ports, says_ollama

_OF_A_PATH = frozenset({Sign.URL_ENDPOINT, Sign.URL_V1, Sign.URL_API, Sign.URL_OPENAI_BARE})
_KEYS = ("API_KEY", "API_TOKEN", "AUTH_TOKEN", "BEARER_TOKEN", "TOKEN", "KEY")


def url_settings(
    project: ComposeProject,
    containers: Sequence[Container],
    found: Findings | None,
    *,
    named: Mapping[str, Mapping[str, str]],
    models: Sequence[str],
    dotenv: Mapping[str, str],
    servers: Collection[str] = (),
) -> list[UrlSetting]:
    """What every consumer is told, by its container or by the files.

    ``named`` are the variables and templates of the configured consumers; where
    it is empty, ``found`` says who the consumers are, and otherwise who uses a
    server of the project beside them (``servers``), told by a file, say, which
    an override cannot reach. ``models`` are
    those that the target is to have. The localhost of a browser is the machine
    that it runs on: nothing here can tell what answers there.
    """
    out: list[UrlSetting] = []
    declared = bool(named)
    for name, templates in _variables(named, project, found).items():
        environment, source = _environment(project, containers, name)
        tellers = [v for v, t in templates.items() if v in environment and telling.names_an_address(t)]
        consumer = found.consumer(name) if found and not declared else None
        known = {s.name for s in consumer.settings} if consumer else set()
        for one in told(name, templates, environment, source=source, guessed=not named.get(name)):
            wanted = models_of(one.variable, tellers, templates, environment, models)
            guess = not declared and one.variable not in known and is_openai(one.variable)
            marks = one.marks | {Sign.VALUE_GUESS} if guess else one.marks
            out.append(replace(one, models=wanted, marks=marks))
        if not named.get(name):  # a configuration that names variables says all of it
            out += _fixed(name, found, models_of("", [""], templates, environment, models))
        out += _not_injected(name, templates, environment, dotenv)
        if named.get(name) and source == "container" and not tellers:
            out.append(_never_given(name, templates))
    if found is not None and declared:
        out += _beside(found, named, servers)
    elif found is not None:
        out += _never_told(project, found, {s.consumer for s in out}, dotenv)
    browsers = {Sign.CLIENT_BROWSER, Sign.URL_LOOPBACK}
    return shared([s for s in out if not _no_provider(s, out) and not browsers <= s.marks])


def _addresses(
    name: str,
    variable: str,
    value: str,
    template: str,
    *,
    source: str,
    meant: str,
    port: tuple[str, int] | None,
) -> list[UrlSetting]:
    """Every address of one value, each as the part of the value that it is."""
    found = embedded.parts(value, template)
    if found is None:
        read = url_text.read(name, variable, value, source=source, template=meant, port=port)
        if len(read) == 1:
            return read
        found = embedded.listed(value, len(read))
    else:
        read = [
            one
            for part in found
            for one in url_text.read(name, variable, part.text, source=source, template=part.form or meant)[:1]
        ]
    return [
        replace(one, value=value, text=part.text, before=part.before, after=part.after)
        for one, part in zip(read, found, strict=True)
    ]


def told(
    name: str,
    templates: Mapping[str, str],
    environment: Mapping[str, str | None],
    *,
    source: str = "container",
    guessed: bool = False,
) -> list[UrlSetting]:
    """Every address that an app is told by its variables, with the credentials that it has for it.

    ``guessed``: the templates were read off the values, and so copy their faults.
    """
    out: list[UrlSetting] = []
    for variable, template in templates.items():
        value = environment.get(variable)
        if variable not in environment or not telling.names_an_address(template):
            continue
        port = _partner(variable, template, templates, environment)
        # What discovery reads off the value only copies its faults; a configuration is somebody's word.
        meant = "" if guessed else template
        for one in _addresses(name, variable, value or "", template, source=source, meant=meant, port=port):
            url = one.url
            if url is not None and "://" not in (one.text or one.value) and (said := _scheme(templates, environment)):
                url = replace(url, scheme=said)
            out.append(replace(one, url=url, headers=_credentials(one, templates, environment)))
    return out


def _scheme(templates: Mapping[str, str], environment: Mapping[str, str | None]) -> str:
    """The scheme that a variable of its own says, or empty."""
    said = (environment.get(v) or "" for v, t in templates.items() if t == "{scheme}")
    return next((s for s in said if s in ("http", "https")), "")


def _credentials(
    one: UrlSetting, templates: Mapping[str, str], environment: Mapping[str, str | None]
) -> dict[str, str]:
    """What an app has to show at this address: a token that a template gave to a variable, or a key beside it."""
    for variable, template in templates.items():
        token = (telling.read(template, environment.get(variable) or "") or {}).get("token")
        if token and re.fullmatch(r"[\x21-\x7e]+", token):
            return {"Authorization": f"Bearer {token}"}
    return _key(one.variable, environment)


def _variables(
    named: Mapping[str, Mapping[str, str]], project: ComposeProject, found: Findings | None
) -> dict[str, dict[str, str]]:
    out: dict[str, dict[str, str]] = {}
    for consumer in found.consumers if found is not None else ():
        if consumer.role in ("app", "gateway"):
            out[consumer.service] = {
                s.name: s.template or "{url}" for s in consumer.settings if s.name and s.kind in ("env", "env_file")
            }
    if named:  # one that is named without variables keeps what its files say
        return {name: dict(env or out.get(name, {})) for name, env in named.items() if name in project.services}
    if found is None:
        return {}
    for service in project:
        if images.is_ollama(service.image):
            continue
        for variable, value in service.environment.items():
            if variable in out.get(service.name, {}):
                continue
            spoken = (
                re.search(r"OLLAMA", variable)
                and url_text.URLISH.search(variable)
                and not names_a_model(variable, value or "")
            )
            if spoken or _may_be_ollama(project, variable, value or ""):
                out.setdefault(service.name, {}).update(_template(service, variable, value or ""))
    return out


def _template(service: Service, variable: str, value: str) -> dict[str, str]:
    """The form of a variable that discovery passed over: with the one of its port, where it names a host alone."""
    ports = [v for v in partner_ports(variable) if (service.environment.get(v) or "").strip().isdigit()]
    alone = is_host(variable) and value.strip() and not re.search(r"[:/]", value)
    return {variable: "{host}", ports[0]: "{port}"} if alone and ports else {variable: "{url}"}


def _may_be_ollama(project: ComposeProject, variable: str, value: str) -> bool:
    """An OpenAI base that is no public one and no service here: whether it is an Ollama, its answer will tell."""
    match = re.match(r"https?://([^/:@\s]+)", value.strip().strip("'\""))
    if match is None or not is_openai(variable) or match[1] in project.services:
        return False
    return is_private(match[1])


def _key(variable: str, environment: Mapping[str, str | None]) -> dict[str, str]:
    """The credentials that go with an address: ``OLLAMA_API_KEY`` beside ``OLLAMA_BASE_URL``."""
    family = variable.partition("_")[0]
    values = (environment.get(f"{family}_{end}") or "" for end in _KEYS)
    value = next((v for v in values if re.fullmatch(r"[\x21-\x7e]+", v)), "")
    return {"Authorization": f"Bearer {value}"} if value else {}


def _no_provider(one: UrlSetting, settings: Sequence[UrlSetting]) -> bool:
    """A blank address of another provider (OpenAI's), beside one of an Ollama: that provider is just not used."""
    others = [t for t in settings if t.consumer == one.consumer and t.url is not None]
    return Sign.VALUE_BLANK in one.marks and not says_ollama(one.variable) and bool(others)


def _partner(
    variable: str, template: str, templates: Mapping[str, str], environment: Mapping[str, str | None]
) -> tuple[str, int] | None:
    """The variable that holds the port of a host told without one, and the port that it says."""
    if not template.endswith("{host}"):
        return None
    ports = [v for v, t in templates.items() if t == "{port}" and (environment.get(v) or "").strip().isdigit()]
    near = [v for v in partner_ports(variable) if v in ports] or ports
    return (near[0], int((environment[near[0]] or "").strip())) if near else None


def _environment(
    project: ComposeProject, containers: Sequence[Container], name: str
) -> tuple[Mapping[str, str | None], str]:
    mine = [c for c in containers if c.service == name]
    container = next((c for c in mine if c.state == "running"), mine[0] if mine else None)
    if container is not None:
        return container.environment, "container"
    service = project.services.get(name)
    return ({k: (v or "").replace("$$", "$") for k, v in service.environment.items()} if service else {}), "compose"


def _never_given(name: str, templates: Mapping[str, str]) -> UrlSetting:
    """A declared consumer whose container was made without any variable that is to tell it."""
    told = [v for v, t in templates.items() if re.search(r"\{(?:url|host)\}", t)] or list(templates)
    return UrlSetting(name, told[0], "", None, marks=frozenset({Sign.VALUE_NEVER_GIVEN}), template=templates[told[0]])


def _beside(found: Findings, named: Collection[str], servers: Collection[str]) -> list[UrlSetting]:
    """What services that no override moves are told of a server of the project; a switch may take it from them."""
    out: list[UrlSetting] = []
    for consumer in found.consumers:
        if consumer.service in named or consumer.role not in ("app", "gateway"):
            continue
        for setting in consumer.settings:
            value = setting.value or ""
            for address in addresses(value, whole=setting.kind == "env"):
                if address.host in servers:
                    text = value[address.start : address.end]
                    place = "" if setting.kind in ("env", "env_file") else setting.name or setting.kind
                    read = url_text.read(consumer.service, setting.name or setting.kind, text, source="compose")
                    out += [replace(t, place=place, marks=t.marks - _OF_A_PATH) for t in read if t.url is not None]
    return out


def _fixed(name: str, found: Findings | None, models: tuple[str, ...]) -> list[UrlSetting]:
    """Addresses in commands and files, which an override cannot reach and a probe can."""
    consumer = found.consumer(name) if found else None
    out: list[UrlSetting] = []
    for setting in consumer.settings if consumer else ():
        if (
            setting.kind in ("command", "entrypoint", "config_file", "hardcoded")
            and setting.value
            and "://" in setting.value
        ):
            match = re.search(r"https?://[^\s\"',;]+", setting.value)
            inline = setting.kind in ("command", "entrypoint")
            place = f"{setting.kind} of {name}" if inline else setting.name or setting.kind
            if match:
                out += [
                    # Whoever writes a whole endpoint into a command means it.
                    replace(
                        t,
                        models=models,
                        place=place,
                        marks=t.marks - _OF_A_PATH,
                    )
                    for t in url_text.read(name, setting.name or setting.kind, match[0], source="compose")
                ]
    return out


def _not_injected(
    name: str, templates: Mapping[str, str], environment: Mapping[str, str | None], dotenv: Mapping[str, str]
) -> list[UrlSetting]:
    """A variable that ``.env`` holds and nobody passes on."""
    return [_absent(name, variable) for variable in templates if variable in dotenv and variable not in environment]


def _never_told(
    project: ComposeProject, found: Findings, told: set[str], dotenv: Mapping[str, str]
) -> list[UrlSetting]:
    """Services that are told no Ollama, where ``.env`` names one that no service is given.

    Those that wait for an Ollama of the project; where nobody is told anything, every app.
    """
    given = {v for service in project for v in service.environment}
    names = [v for v in dotenv if says_ollama(v) and is_address(v) and v not in given and dotenv[v].strip()]
    if not names:
        return []
    servers = {s.service for s in found.ollama_services}
    known = told | servers | {c.service for c in found.consumers}
    others = [
        s
        for s in project
        if s.name in project.active
        and s.name not in known
        and not (images.is_ollama(s.image) or images.is_infrastructure(s.image) or images.is_gateway(s.image))
    ]
    waiting = [s for s in others if servers & set(s.depends_on)]
    return [_absent(s.name, v) for s in (waiting if waiting or told else others) for v in names[:1]]


def _absent(name: str, variable: str) -> UrlSetting:
    return UrlSetting(name, variable, "", None, source="compose")


def is_other_service(setting: UrlSetting, seen: ProbeAnswers | None) -> bool:
    """An OpenAI base that was only taken for an Ollama's, where something else speaks."""
    found = seen.aims.get(setting.aim) if seen and Sign.VALUE_GUESS in setting.marks else None
    replies = [http.read(a.raw) for a in found.answered if a.ask in ("root", "version", "tags")] if found else []
    return any(r.status for r in replies) and not any(http.version(r) for r in replies)
