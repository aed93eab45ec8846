"""The override: one YAML text that points a project at a target. A pure function.

It merges after the user's files, so it says only what must differ: variables in
map form merge with either form by key; an edge to a service that is off is
reset, because a profile alone leaves a project that depends on an undefined
service (Compose 2.40: "depends on undefined service").
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.config.models import StackConfig
from stackctl.config.target import HOST_GATEWAY, Target
from stackctl.config.url import HOST_ALIAS, OllamaUrl
from stackctl.errors import UsageError
from stackctl.project import localollama
from stackctl.project.compose import ComposeProject, Service
from stackctl.project.dependents import helpers
from stackctl.project.facts import Facts
from stackctl.project.proxyrules import exceptions_for
from stackctl.project.telling import spell
from stackctl.project.yamltext import Override as Replaced
from stackctl.project.yamltext import Reset, Text, dump

HEADER = """\
# Written by stackctl; written anew at each change. Your own Compose files are never touched.
# What it does: docs/override.md. To be rid of it: stackctl detach
"""
SHARED_NETWORK = "stackctl-shared"
# In Compose's own spelling, where `$$` is a dollar sign and `${NAME` begins a reference.
_TOKEN = re.compile(r"\$\$|\$\{(?=[A-Za-z_])\w*|\$|\{(url|scheme|host|port|model|token)\}")


@dataclass(frozen=True)
class OverrideFile:
    """The text of the override and what follows from it.

    ``told`` is the base URL that each consumer is given; ``off`` are services
    that the target switches off; ``needs_network`` is the shared network that
    must exist before Compose runs; ``secrets`` are the instances whose token
    Compose must find in its environment; ``warnings`` are for the user.
    """

    text: str
    told: Mapping[str, OllamaUrl]
    off: tuple[str, ...] = ()
    local_service: str | None = None
    needs_network: str | None = None
    token_variable: str | None = None
    warnings: tuple[str, ...] = field(default=())
    direct: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """``NO_PROXY`` and ``no_proxy`` of the consumers whose proxy would take what is meant for the target."""

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def token_variable(target: Target) -> str | None:
    """The environment variable under which Compose finds the target's token; None without one."""
    if target.token is None:
        return None
    if target.token.source == "env":
        return target.token.argument
    return "STACKCTL_TOKEN_" + re.sub(r"[^A-Z0-9]+", "_", target.name.upper()).strip("_")


def render(
    project: ComposeProject,
    config: StackConfig,
    target: Target,
    facts: Facts,
    locate: Callable[[tuple[str | int, ...]], str | None] = lambda _path: None,
) -> OverrideFile:
    """Render the override for ``target``.

    Raises :class:`UsageError` where the configuration names a service that the
    project has not, or wants of Compose what it cannot do; ``locate`` gives the
    place in ``stackctl.yaml`` of a configuration path.
    """
    _check_consumers(project, config, locate)
    return _Renderer(project, config, target, facts, locate).render()


def _check_consumers(project: ComposeProject, config: StackConfig, locate: Callable[..., str | None]) -> None:
    for name in config.consumers:
        if name not in project.services:
            message, hint = not_a_service(name, project)
            raise UsageError(message, hint=hint, where=locate(("consumers", name)))


def not_a_service(name: str, project: ComposeProject) -> tuple[str, str]:
    """What to say of a consumer that the project has not: message and hint."""
    close = difflib.get_close_matches(name, list(project.services), n=1, cutoff=0.5)
    hint = f'did you mean "{close[0]}"?' if close else f"services: {', '.join(project.services)}"
    return f'the consumer "{name}" is no service of this Compose project', hint


class _Renderer:
    def __init__(
        self,
        project: ComposeProject,
        config: StackConfig,
        target: Target,
        facts: Facts,
        locate: Callable[[tuple[str | int, ...]], str | None],
    ) -> None:
        self.project, self.config, self.target, self.facts, self.locate = project, config, target, facts, locate
        self.services: dict[str, dict[str, Any]] = {}
        self.top: dict[str, dict[str, Any]] = {}
        self.warnings: list[str] = list(target.notes)
        self.own = project.services.get(config.local.service)
        self.loopback = ""
        self.direct: dict[str, dict[str, str]] = {}

    def service(self, name: str) -> dict[str, Any]:
        return self.services.setdefault(name, {})

    def render(self) -> OverrideFile:
        told: dict[str, OllamaUrl] = {}
        for name in self.config.told:
            told[name] = self.url_for(name)
            self.environment(name, told[name])
            self.hosts(name)
        if gateway := self.facts.gateway:
            self.service(gateway.name).update(gateway.service)
            for key, section in gateway.top.items():
                self.top.setdefault(key, {}).update(section)
        stays = self.target.needs_local or self.facts.keep_local
        off = () if stays else self.switch_off()
        if stays:
            self.local()
        for name in self.facts.awake:
            self.service(name)["profiles"] = Replaced([])
        if not self.facts.gpu_of_others:
            self.without_gpu()
        self.network()
        if not self.facts.start_interval:
            self.without_start_interval()
        document: dict[str, Any] = {}
        if services := {n: self.services[n] for n in self.ordered() if self.services[n]}:
            document["services"] = services
        document.update({k: v for k, v in self.top.items() if v})
        return OverrideFile(
            text=HEADER + (dump(document) if document else "{}\n"),
            told=told,
            off=off,
            local_service=self.config.local.service if self.target.needs_local else None,
            needs_network=self.config.network.shared,
            token_variable=token_variable(self.target),
            warnings=tuple(self.warnings),
            direct=self.direct,
        )

    def without_start_interval(self) -> None:
        for service in self.services.values():
            check = service.get("healthcheck")
            values = check.value if isinstance(check, Replaced) else check
            if isinstance(values, dict):
                values.pop("start_interval", None)

    def ordered(self) -> list[str]:
        """The project's own order, then what is added."""
        return [n for n in self.project.services if n in self.services] + [
            n for n in self.services if n not in self.project.services
        ]

    # -- consumers -------------------------------------------------------

    def url_for(self, name: str) -> OllamaUrl:
        """What this consumer is told: on the host's own network the host is itself, and services have no names."""
        url = self.target.url
        mode = self.owner(name).network_mode
        if gateway := self.facts.gateway:
            url = OllamaUrl("http", gateway.host, 11434)
            if mode == "host" and gateway.published:
                url = OllamaUrl("http", "127.0.0.1", gateway.published)
        elif self.target.kind == "local":
            url = localollama.local_address(self.project, self.config, name)
            if mode == "host" and not self.on_host():
                url = self.published_locally(name, url)
        elif mode == "host" and url.host == HOST_ALIAS:
            url = url.with_host("127.0.0.1")
        if mode == "none":
            raise UsageError(
                f'the consumer "{name}" has network_mode: none and can reach no Ollama at all',
                hint="remove network_mode from it, or remove it from `consumers`",
                where=self.locate(("consumers", name)),
            )
        return url

    def local_owner(self) -> Service | None:
        """The service whose network namespace the project's own server uses: itself, or another."""
        return self.owner(self.own.name) if self.own is not None else None

    def on_host(self) -> bool:
        """Whether the project's own server is on the host's network, itself or in the namespace that it shares."""
        owner = self.local_owner()
        return owner is not None and owner.network_mode == "host"

    def published_locally(self, name: str, url: OllamaUrl) -> OllamaUrl:
        publish = self.config.local.publish
        if publish:
            return OllamaUrl("http", "127.0.0.1", int(publish.rpartition(":")[2]))
        owner = self.local_owner()
        for port in owner.ports if owner else []:
            if port.get("target") == url.port and str(port.get("published", "")).isdigit():
                return OllamaUrl("http", "127.0.0.1", int(port["published"]))
        # On the host's network there is no other way to the container than a published port; loopback is enough.
        self.loopback = f"127.0.0.1:{url.port}:{url.port}"
        note = (
            f"{name} is on the host's network: the Ollama container's port is published on 127.0.0.1:{url.port} for it"
        )
        if note not in self.warnings:
            self.warnings.append(note)
        return url.with_host("127.0.0.1")

    def owner(self, name: str) -> Service:
        return self.project.services[self.project.network_owner(name)]

    def environment(self, name: str, url: OllamaUrl) -> None:
        consumer = self.config.consumers[name]
        if consumer.env:
            self.service(name)["environment"] = {
                variable: Text(self.fill(template, url, (name, "env", variable)))
                for variable, template in consumer.env.items()
            }
        for key, words in (("entrypoint", consumer.entrypoint), ("command", consumer.command)):
            if words is not None:
                filled = [Text(self.fill(word, url, (name, key, index))) for index, word in enumerate(words)]
                self.service(name)[key] = Replaced(filled)
        present = {**self.facts.client_proxies, **self.project.services[name].environment}
        direct = {k: v for k, v in exceptions_for(present, url).items() if k not in consumer.env}
        if direct:
            variables = self.service(name).setdefault("environment", {})
            variables.update({variable: Text(value) for variable, value in direct.items()})
            self.direct[name] = direct

    def fill(self, template: str, url: OllamaUrl, place: tuple[str, str, str | int]) -> str:
        """A template as Compose is to read it; ``place`` is where it stands below ``consumers``."""

        def replace(match: re.Match[str]) -> str:
            word = match[1]
            if word is None:
                # A dollar sign of the template is meant as such; Compose would take it for a reference.
                return "$$" if match[0] == "$" else match[0]
            if word == "model":
                if self.target.model is None:
                    named = place[2] if place[1] == "env" else place[1]
                    raise UsageError(
                        f'"{{model}}" stands in {place[0]}.{named}, and no model is named for {self.target.name}',
                        hint="models: [qwen3:8b]",
                        where=self.locate(("consumers", *place)),
                    )
                return self.target.model.replace("$", "$$")
            if word == "token":
                variable_name = token_variable(self.target)
                return f"${{{variable_name}}}" if variable_name else ""
            return spell(word, url, match).replace("$", "$$")

        return _TOKEN.sub(replace, self.facts.references.get(place) or template.replace("$", "$$"))

    def hosts(self, name: str) -> None:
        owner = self.owner(name)
        pins = dict(self.target.pins)
        if self.target.kind == "local" and self.on_host():
            pins[HOST_ALIAS] = HOST_GATEWAY
        if owner.network_mode == "host":
            # There the host is itself; any other name may still be one that only a pin makes known.
            pins.pop(HOST_ALIAS, None)
        present = owner.extra_hosts
        wanted = {host: address for host, address in pins.items() if present.get(host) != [address]}
        if not wanted:
            return
        if any(host in present for host in wanted):
            kept = [Text(f"{h}={a}") for h, addresses in present.items() if h not in wanted for a in addresses]
            self.service(owner.name)["extra_hosts"] = Replaced([*kept, *(Text(f"{h}={a}") for h, a in wanted.items())])
        else:
            self.service(owner.name)["extra_hosts"] = [Text(f"{h}={a}") for h, a in wanted.items()]

    # -- the local server ------------------------------------------------

    def local(self) -> None:
        networks = self._networks_of_consumers() if self.facts.gateway is None else []
        service, volumes = localollama.fragment(
            self.project, self.config.local, self.facts.gpu, networks, self.facts.default_image
        )
        if gateway := self.facts.gateway:
            # Its name is the gateway's where consumers are, so it must not be there itself.
            inner = dict(gateway.local_networks)
            if self.own is None:
                service["networks"] = inner
            elif not self.own.network_mode:
                service["networks"] = Replaced(inner)
        owner = self.local_owner()
        if self.loopback and owner is not None and owner.name != self.config.local.service:
            self.service(owner.name)["ports"] = [Text(self.loopback)]
        elif self.loopback:
            service["ports"] = [Text(self.loopback)]
        defined = self.project.networks
        if self.own is not None and defined and (undefined := [n for n in self.own.networks if n not in defined]):
            # A service of an inactive profile may name what is not there; switched on, it would break the project.
            known = [n for n in (*self.own.networks, *networks) if n not in undefined]
            service["networks"] = Replaced(dict.fromkeys(known or ["default"]))
            self.warnings.append(f"{self.own.name} joins {', '.join(undefined)}, which the project does not define")
        if service:
            merged = self.service(self.config.local.service)
            merged["environment"] = {**service.pop("environment", {}), **merged.get("environment", {})}
            if not merged["environment"]:
                del merged["environment"]
            merged.update(service)
        self.top.setdefault("volumes", {}).update(volumes)
        self.warnings += localollama.promises_not_kept(self.own, self.config.local)

    def _networks_of_consumers(self) -> list[str]:
        """The networks that the local server has to join so that every consumer meets it on one of theirs."""
        server = self.local_owner()
        own = set(server.networks) if server else set()
        networks: list[str] = []
        for name in self.config.told:
            owner = self.owner(name)
            joined = owner.networks or ([] if owner.network_mode else ["default"])
            if not own & set(joined):
                networks += [n for n in joined if n not in networks]
        return networks or (["default"] if self.own is None else [])

    def switch_off(self) -> tuple[str, ...]:
        """Switch the local server off, with helpers that serve nothing but it, and drop every edge to them."""
        if self.own is None:
            return ()
        off = [self.own.name, *helpers(self.project, self.config)]
        for name in off:
            self.services.pop(name, None)
            self.service(name)["profiles"] = Replaced([Text(localollama.OFF_PROFILE)])
        for service in self.project:
            if service.name in off:
                continue
            edges = {name: Reset() for name in service.depends_on if name in off}
            if edges:
                self.service(service.name)["depends_on"] = edges
            links = [str(link) for link in service.raw.get("links") or []]
            if any(link.partition(":")[0] in off for link in links):
                kept = [Text(link) for link in links if link.partition(":")[0] not in off]
                self.service(service.name)["links"] = Replaced(kept)
        return tuple(off)

    def without_gpu(self) -> None:
        """The project's other Ollama servers on the CPU: the engine has no GPU, and would not start them."""
        for service in self.project:
            other = service.name != self.config.local.service and localollama.OFFICIAL.search(service.image)
            if other and localollama.uses_gpu(service):
                self.service(service.name).update(localollama.gpu_cleared(service))

    # -- networks --------------------------------------------------------

    def network(self) -> None:
        shared = self.config.network.shared
        if not shared:
            return
        key = next((k for k, v in self.project.networks.items() if v.get("name") == shared), SHARED_NETWORK)
        if key == SHARED_NETWORK:
            self.top.setdefault("networks", {})[key] = {"name": Text(shared), "external": True}
        members = [self.project.network_owner(c) for c in self.config.told]
        if self.facts.gateway is not None:
            members.append(self.facts.gateway.name)
        elif self.target.needs_local or self.facts.keep_local:
            members.append(self.config.local.service)
        for name in dict.fromkeys(members):
            present = self.project.services.get(name)
            if present is not None and present.network_mode:
                continue
            joined = self.services.get(name, {}).get("networks") or dict.fromkeys(
                present.networks if present and present.networks else ["default"]
            )
            if key in joined:
                continue
            self.service(name)["networks"] = {**joined, key: None}
