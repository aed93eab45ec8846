"""The whole of it: from a resolved project and its texts to the findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from stackctl.project.compose import Service
from stackctl.project.discovery import images, names
from stackctl.project.discovery.address import DEFAULT_PORT, addresses
from stackctl.project.discovery.apps import App, app_of
from stackctl.project.discovery.findings import Consumer, Findings, Helper, Role, Setting
from stackctl.project.discovery.inline import in_build, in_command
from stackctl.project.discovery.landscape import Landscape, survey
from stackctl.project.discovery.modelnames import models_of
from stackctl.project.discovery.mounted import in_mounts, missing_config
from stackctl.project.discovery.pullers import PULL_TEXT, models_pulled, one_shots, pulls_models, words_of
from stackctl.project.discovery.raw import RawProject, load
from stackctl.project.discovery.servers import base_of, described, dockerfile, find_servers
from stackctl.project.discovery.shown import Shown
from stackctl.project.discovery.source import Source
from stackctl.project.discovery.unset import Unset
from stackctl.project.discovery.variables import Variables, Verdict

_INIT_TEXT = re.compile(r"\b(?:import|migrat\w*|seed|bootstrap|init|setup)\b", re.IGNORECASE)
_GATEWAY_NAME = re.compile(
    r"(?:^|[-_])(?:router|proxy|lb|loadbalancer|load-balancer|litellm|olla|(?:llm|ai|model|api|ollama)[-_]?gateway)(?:$|[-_])"
)


def discover(source: Source, raw: RawProject | None = None) -> Findings:
    """Find the Ollama services, the consumers and how each is told. Raises nothing for a project that Compose reads.

    ``raw`` are the files as written, where they were parsed already.
    """
    raw = raw or load(source.files, source.reader, source.variables)
    servers = find_servers(source, raw)
    work = _Discovery(source, raw, survey(source, servers))
    consumers, helpers = work.consumers()
    if further := work.asked_as_servers(consumers):
        # What nothing else gives away, its consumers say: they ask it as an Ollama, at Ollama's port.
        servers = [*servers, *(described(source.project.services[n], [why], source, raw) for n, why in further)]
        work = _Discovery(source, raw, survey(source, servers))
        consumers, helpers = work.consumers()
    ambiguous = [*work.ambiguous, *_doubts(consumers)]
    return Findings(
        source.project.name,
        tuple(servers),
        tuple(consumers),
        tuple(helpers),
        tuple(dict.fromkeys(ambiguous)),
        tuple(dict.fromkeys(m for s in source.project if s.name in work.pullers for m in models_pulled(s))),
    )


class _Discovery:
    def __init__(self, source: Source, raw: RawProject, land: Landscape) -> None:
        self.source, self.raw, self.land = source, raw, land
        self.ambiguous: list[str] = []
        self.pullers: set[str] = set()
        self.ending = one_shots(source.project)
        self.apps: dict[str, App | None] = {s.name: app_of(s, _base(s, source)) for s in source.project}
        for service in source.project:
            app = self.apps[service.name]
            if images.is_gateway(service.image) or (app is not None and app.role == "gateway"):
                land.gateways.add(service.name)
        self.variables = Variables(source, raw, land)
        for name in sorted(land.others):
            # What is told an Ollama itself is more than a database or an exporter: others may ask it in its place.
            service = source.project.services[name]
            if not images.only_looks_on(service.image) and any(s.servers for s in self._told(service)):
                land.others.discard(name)
        self.unset = Unset(source, raw, land, self.variables)

    def _told(self, service: Service) -> list[Setting]:
        app = self.apps[service.name]
        return self.variables.of(service, app.env if app is not None else {})

    def consumers(self) -> tuple[list[Consumer], list[Helper]]:
        """Every consumer in service order, and the pullers that have no address to switch."""
        visible = {s.name: self._visible(s) for s in self.source.project if s.name not in self.land.servers}
        for name in [n for n, server in self.land.servers.items() if server.bundled]:
            # An image with an Ollama of its own asks another one as soon as a variable says so.
            if asked := self._told(self.source.project.services[name]):
                visible[name] = asked
        self._shown_by_files(visible)
        self._fronts(visible)
        consumers: list[Consumer] = []
        helpers: list[Helper] = []
        for service in self.source.project:
            if service.name not in visible:
                continue
            settings = visible[service.name]
            if self._is_helper(service):
                self.pullers.add(service.name)
            if not settings and service.name in self.pullers:
                helpers.append(self._helper(service))
                continue
            settings = settings or self.unset.of(service, self.apps[service.name])
            if settings:
                consumers.append(self._consumer(service, settings))
        return consumers, helpers

    def _shown_by_files(self, visible: dict[str, list[Setting]]) -> None:
        """Add what the files of a service show, where nothing else says how it could be told."""
        by_file = Shown(self.source, self.raw, self.land, self.variables).from_files(visible, self.apps)
        for service in self.source.project:
            found = visible.get(service.name)
            if found is None or any(s.template is not None for s in found):
                continue
            if shown := by_file(service):
                known = {s.name for s in found}
                kept = [s for s in found if s.kind != "hardcoded"]
                visible[service.name] = [*kept, *(s for s in shown if s.name not in known)]

    def _visible(self, service: Service) -> list[Setting]:
        if images.only_looks_on(service.image):
            return []
        settings = [
            *self._told(service),
            *in_command(service, self.source, self.raw, self.land)[0],
            *in_build(service, self.source, self.raw, self.land),
        ]
        mounted = in_mounts(service, self.source, self.raw, self.land)
        if settings:
            mounted = [s for s in mounted if s.kind != "hardcoded"]
        return self._unless_off(service, [*settings, *mounted])

    def _unless_off(self, service: Service, settings: list[Setting]) -> list[Setting]:
        app = self.apps[service.name]
        if app is not None and settings and app.is_off(service.environment):
            self.ambiguous.append(
                f"{service.name}: {app.app} has its Ollama side switched off ("
                + ", ".join(f"{k}={service.environment[k]}" for k in app.disabled if k in service.environment)
                + ")"
            )
            return [s for s in settings if not names.says_ollama(s.name or "") or s.name not in app.env]
        return settings

    def _fronts(self, visible: dict[str, list[Setting]]) -> None:
        """A proxy that consumers ask in Ollama's name is a gateway, even where its configuration cannot be read."""
        asked = {
            s.points_at.partition(":")[2]
            for found in visible.values()
            for s in found
            if s.points_at.startswith("gateway:")
        }
        for name in asked:
            if name in visible and not visible[name]:
                service = self.source.project.services[name]
                missing = missing_config(service, self.source, self.raw)
                if missing is not None:
                    visible[name] = [missing]
        self.land.gateways.update(asked)

    def asked_as_servers(self, consumers: Iterable[Consumer]) -> list[tuple[str, str]]:
        """Services that are asked as an Ollama at its port, and neither pass on to another nor are something else."""
        told = {c.service for c in consumers}
        found: dict[str, str] = {}
        for consumer in consumers:
            for setting in consumer.settings:
                name = setting.points_at.removeprefix("gateway:")
                service = self.source.project.services.get(name)
                if service is None or name == setting.points_at or name in told or name in self._fronting:
                    continue
                named = names.says_ollama(setting.name or "")
                if named and any(a.port == DEFAULT_PORT for a in addresses(setting.value or "")):
                    found.setdefault(name, f"{consumer.service} asks it as an Ollama ({setting.evidence})")
        return list(found.items())

    @property
    def _fronting(self) -> set[str]:
        """Services that are proxies or gateways by what they are."""
        return {
            s.name
            for s in self.source.project
            if images.is_gateway(s.image)
            or images.is_infrastructure(s.image)
            or _GATEWAY_NAME.search(s.name)
            or self.apps[s.name] is not None
        }

    def _is_helper(self, service: Service) -> bool:
        text = words_of(service)
        return pulls_models(service, self.source.project) or bool(PULL_TEXT.search(text) and "docker exec" in text)

    def _helper(self, service: Service) -> Helper:
        place = self.raw.key(service.name, "command", "entrypoint", "image")
        where = f"{self.source.shown(place.path)}:{place.line}" if place else ""
        return Helper(service.name, "pulls models and ends; it has no address of its own to switch", where)

    def _consumer(self, service: Service, settings: Iterable[Setting]) -> Consumer:
        app = self.apps[service.name]
        found = tuple(settings)
        notes: list[str] = []
        depends = self._waits_for_server(service.name)
        if app is not None and app.keeps:
            notes.append(f"{app.app}: {app.keeps}")
            if app.click:
                notes.append(f"set it in {app.click}, or let the gateway take over the name that it keeps")
        return Consumer(
            service.name,
            self._role(service, found, app),
            found,
            app.app if app else "",
            tuple(notes),
            service.name in self.pullers and depends,
            in_command(service, self.source, self.raw, self.land)[1],
            tuple(models_of(service, found, self._places(service))),
            app is not None and bool(app.keeps),
        )

    def _places(self, service: Service) -> dict[str, str]:
        """Where each variable of the service is written."""
        nothing = Verdict(None)
        return {n: self.variables.setting(service, n, v, nothing).evidence for n, v in service.environment.items()}

    def _waits_for_server(self, name: str) -> bool:
        """Whether the service depends on an Ollama server of the project, directly or through others."""
        seen: set[str] = set()
        ahead = [name]
        while ahead:
            here = ahead.pop()
            if here in seen or here not in self.source.project.services:
                continue
            seen.add(here)
            ahead += self.source.project.services[here].depends_on
        return bool(seen & set(self.land.servers))

    def _role(self, service: Service, settings: tuple[Setting, ...], app: App | None) -> Role:
        text = words_of(service)
        if images.is_ollama(service.image) or PULL_TEXT.search(text):
            return "model-pull"
        if re.search(r"pull[-_]?model|model[-_]?pull|ollama[-_](?:pull|init|setup)", service.name):
            return "model-pull"
        named = _GATEWAY_NAME.search(service.name) and not any(s.kind == "none-visible" for s in settings)
        if service.name in self.land.gateways or named or (app is not None and app.role == "gateway"):
            return "gateway"
        if (
            service.name in self.ending
            and _INIT_TEXT.search(f"{service.name} {text}")
            and self._shares(service, settings)
        ):
            return "init"
        return "app"

    def _shares(self, service: Service, settings: tuple[Setting, ...]) -> bool:
        """Whether a lasting service is told by the same variables: then this one carries them along."""
        mine = {s.name for s in settings}
        return any(
            other.name != service.name and other.name not in self.ending and mine & set(other.environment)
            for other in self.source.project
        )


def _base(service: Service, source: Source) -> str:
    """The image that a service is built from, where its Dockerfile is there to be read."""
    build = service.raw.get("build")
    if not isinstance(build, Mapping):
        return ""
    text, _ = dockerfile(build, source)
    return base_of(build, text) if text else ""


def _doubts(consumers: list[Consumer]) -> list[str]:
    found = []
    for consumer in consumers:
        for setting in consumer.settings:
            if setting.kind == "env" and setting.template is None and setting.reason.startswith("empty today"):
                found.append(f"{consumer.service}: {setting.name} is {setting.reason}; left as it is")
            elif setting.points_at == "external" and setting.value and _nobody(setting.value):
                found.append(
                    f"{consumer.service}: {setting.name} names {_nobody(setting.value)}, "
                    "which is no service of this project: it is served by another project, or by none"
                )
            elif setting.note.startswith("its value is"):
                found.append(f"{consumer.service}: {setting.name}: {setting.note}; taken for a base URL by its name")
    return found


def _nobody(value: str) -> str:
    """A host name without a dot that looks like a container's; empty for any other."""
    found = addresses(value, whole=True)
    host = found[0].host if found else ""
    return host if host and "." not in host and names.says_ollama(host) else ""


def with_choice(findings: Findings, service: str, name: str, template: str) -> Findings:
    """The findings with one doubtful setting made switchable, as the user chose."""
    consumers = tuple(
        replace(
            c, settings=tuple(replace(s, template=template, reason="") if s.name == name else s for s in c.settings)
        )
        if c.service == service
        else c
        for c in findings.consumers
    )
    return replace(findings, consumers=consumers)
