"""Consumers that are told by a variable: in ``environment:`` or in an ``env_file``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from stackctl.project.compose import Service
from stackctl.project.discovery import names
from stackctl.project.discovery.address import DEFAULT_PORT, FOREIGN, Address, addresses
from stackctl.project.discovery.envfile import EnvLine, parse_env
from stackctl.project.discovery.findings import Kind, Setting, Spot
from stackctl.project.discovery.landscape import OLLAMA, Landscape, is_page
from stackctl.project.discovery.pullers import bind_port
from stackctl.project.discovery.raw import RawProject
from stackctl.project.discovery.secrecy import COPIES, looks_secret, redacted
from stackctl.project.discovery.source import Place, Source

_PLAIN = re.compile(r"^(?:true|false|yes|no|on|off|\d+(?:\.\d+)?|/\S*)$", re.IGNORECASE)
BRACES = "the value holds a word in braces of its own, which would read as a placeholder"


@dataclass(frozen=True)
class Verdict:
    """What a variable's value turned out to be."""

    template: str | None
    points_at: str = ""
    note: str = ""
    reason: str = ""
    spots: tuple[Spot, ...] = ()


def judge(name: str, value: str | None, land: Landscape, *, own: str, known: bool = False) -> Verdict | None:
    """Whether ``name=value`` tells the service ``own`` an Ollama, and how; None where it does not.

    ``known``: the service is an app that is known to read its Ollama from this variable.
    """
    if names.is_noise(name):
        return None
    text = (value or "").strip()
    unquoted = text.strip("'\"")
    whole = re.fullmatch(r"https?://\S+", unquoted)
    named = known or (
        names.says_ollama(name) and (names.is_address(name) or (bool(whole) and names.may_be_address(name)))
    )
    found = addresses(unquoted, whole=names.is_host(name) or named)
    found = [a for a in found if a.scheme or a.host not in ("0.0.0.0", "::")]  # noqa: S104  (a bind address, none to call)
    if found and _is_own_name(name, found[0], land, own):
        return None
    mine = [(a, at) for a in found if (at := _target(a, land, named=named, own=own))]
    if mine:
        return _told(mine, name, value or "", text, land, own)
    if not named or names.is_port(name):
        return None
    if not text:
        return Verdict(_blank(name))
    if _PLAIN.match(unquoted) or (_binds(name) and bind_port(unquoted) is not None):
        return None
    if found:
        return _of_its_name(name, found, land, own, (value or "").index(unquoted))
    return _without_address(name, text, unquoted)


def _of_its_name(name: str, found: list[Address], land: Landscape, own: str, offset: int) -> Verdict | None:
    """What a variable named for Ollama tells whose addresses do not show by themselves that they are one's."""
    first = found[0]
    if not first.scheme and first.port is None and land.owner(first.host, own) is None:
        at = "host" if first.is_host_machine else "external" if names.is_host(name) else ""
        if at:
            return Verdict(first.template(), at, spots=(_spot(first, at, land, own, offset),))
    if all(land.owner(a.host, own) in {own, *land.others} or is_page(a) for a in found):
        return None
    return Verdict(_blank(name))


def _without_address(name: str, text: str, unquoted: str) -> Verdict | None:
    """What a variable named for Ollama tells that holds something else than an address."""
    if scheme := re.match(r"https?://[^/]*", unquoted):
        path = unquoted[scheme.end() :]
        return None if FOREIGN.search(path) else Verdict("{url}" + path, note="its host is not set today")
    if re.search(r"[{}$]", text):
        return Verdict(_blank(name), note=f"its value is `{text}`, which is no address")
    return None


def _is_own_name(name: str, address: Address, land: Landscape, own: str) -> bool:
    """Whether it is the public name under which a proxy, or whoever reads a domain, offers Ollama to others."""
    bare = not address.scheme and address.port is None and not address.path
    offers = own in land.gateways or names.words(name)[-1:] == ("domain",)
    return bare and offers and land.owner(address.host, own) is None and not address.is_host_machine


def _binds(name: str) -> bool:
    """Whether the variable is the one by which a server is told where to listen."""
    return name.upper() == "OLLAMA_HOST"


def _target(address: Address, land: Landscape, *, named: bool, own: str) -> str:
    at = land.points_at(address, own)
    owner = land.owner(address.host, own)
    if owner == own or (owner in land.others and at != OLLAMA) or is_page(address):
        return ""
    if at.startswith("service:"):
        return at.replace("service:", "gateway:", 1) if named and (address.scheme or address.port) else ""
    if at.startswith("gateway:"):
        return at if named or address.port == DEFAULT_PORT else ""
    if not at and named and (address.scheme or address.port) and not address.is_host_machine:
        return "external"
    if not at and named and address.scheme:
        return "host"
    if not address.scheme and address.port is None and at == "external":
        return at if named else ""
    return at


def _spot(address: Address, at: str, land: Landscape, own: str, offset: int) -> Spot:
    template = address.template(land.prefix(address, at))
    if at.startswith("gateway:") and address.path and address.scheme:
        template = "{url}" + _ollama_path(address.path)
    start, end = address.start + offset, address.end + offset
    server = land.server(address, at, own)
    return Spot(start, end, template, server, address.user, address.has_password)


def _told(mine: list[tuple[Address, str]], name: str, value: str, text: str, land: Landscape, own: str) -> Verdict:
    unquoted = text.strip("'\"")
    offset = value.index(unquoted)
    spots = tuple(_spot(a, at, land, own, offset) for a, at in mine)
    at, bases = mine[0][1], {a.base for a, _ in mine}
    head = value.index(text)
    template, note = _filled(text, spots, head), ""
    if template is not None and len(bases) > 1:
        template = _single(text, spots, head)
        note = f"it lists {len(spots)} servers; one target takes the place of all of them"
    elif template == "{host}" and name.upper().endswith(("URL", "URI")):
        note = "a bare host: a target with https or another port cannot be told"
    if template is None:
        return Verdict(None, at, reason=BRACES, spots=spots)
    if holds_secret(template):
        return Verdict(None, at, reason=COPIES, spots=spots)
    return Verdict(template, at, note=note, spots=spots)


def holds_secret(template: str) -> bool:
    """Whether what a template keeps of the value is a secret, or the rest of credentials that nobody understands."""
    kept = re.sub(r"\{(?:url|host|port)\}", "", template)
    return looks_secret(kept) or bool(re.search(r"\{(?:url|host|port)\}[^\s;|,]*@", template))


def _filled(text: str, spots: Sequence[Spot], head: int) -> str | None:
    """``text`` with each spot's template in its place; None where braces in the rest would read as placeholders."""
    if FOREIGN.search(text):
        return None
    out, at = "", 0
    for spot in spots:
        out += text[at : spot.start - head] + spot.template
        at = spot.end - head
    return out + text[at:]


def _ollama_path(path: str) -> str:
    """Of a gateway's path, the part that is the API's: ``/olla/ollama`` is the gateway's own prefix."""
    match = re.search(r"/(?:v1|api)(?:/.*)?$", path)
    return match[0] if match else ""


def _single(text: str, spots: Sequence[Spot], head: int) -> str | None:
    """A list of servers as a list of one: the first entry stands for all where only separators lie between."""
    between = [text[a.end - head : b.start - head] for a, b in itertools.pairwise(spots)]
    if all(re.fullmatch(r"\s*[,;| ]\s*", gap) for gap in between):
        return text[: spots[0].start - head] + spots[0].template + text[spots[-1].end - head :]
    return _filled(text, spots, head)


def _blank(name: str) -> str:
    """The template for a variable with no value to go by."""
    return "{url}/v1" if names.is_openai(name) else "{url}"


class Variables:
    """The settings of each service that are variables."""

    def __init__(self, source: Source, raw: RawProject, land: Landscape) -> None:
        self.source, self.raw, self.land = source, raw, land
        self._files: dict[str, list[EnvLine]] = {}

    def of(self, service: Service, known: Mapping[str, str] = MappingProxyType({})) -> list[Setting]:
        """Settings that the container really has, in the order of its environment.

        ``known`` are variables that tell this app its Ollama.
        """
        found: dict[str, Setting] = {}
        environment = dict(service.environment)
        for name, value in environment.items():
            verdict = judge(name, value, self.land, own=service.name, known=name in known and bool(value))
            if verdict is not None:
                found[name] = self.setting(service, name, value, verdict)
        for name in list(found):
            self._partner(service, name, found)
        if found and any(names.says_ollama(n) for n in found):
            for name, value in environment.items():
                if name not in found and names.is_openai(name) and self._is_handed_in(service, name):
                    found[name] = self._possible(service, name, value)
        if not found:
            found = self._generic(service)
        order = list(environment)
        return sorted(found.values(), key=lambda s: order.index(s.name or ""))

    def _partner(self, service: Service, name: str, found: dict[str, Setting]) -> None:
        setting = found[name]
        value = (setting.value or "").strip()
        if (value and setting.template not in ("{host}", "{url}")) or (not value and not names.is_host(name)):
            return
        parts = addresses(value, whole=True)
        if value and (not parts or parts[0].port is not None or parts[0].path):
            return
        for partner in names.partner_ports(name):
            text = service.environment.get(partner)
            if partner in service.environment and (self._is_open(service, partner) or str(text).strip().isdigit()):
                scheme = "{scheme}://" if parts and parts[0].scheme else ""
                note = "a target with https or a path cannot be told by host and port" if not scheme else ""
                host = parts[0].host if parts else ""
                port = int(str(text).strip()) if str(text).strip().isdigit() else None
                address = Address(parts[0].scheme if parts else "", host, port, "", 0, 0)
                joined = self.land.points_at(address, service.name) if host else ""
                at = joined if joined and not joined.startswith("service:") else setting.points_at or joined
                server = self.land.server(address, at, service.name) if host else ""
                spots = (Spot(0, 0, "", server),)
                found[name] = replace(setting, template=f"{scheme}{{host}}", note=note, points_at=at, spots=spots)
                beside = Verdict("{port}", at, note="the port to " + name, spots=spots)
                found[partner] = self.setting(service, partner, text, beside)
                return

    def _is_open(self, service: Service, name: str) -> bool:
        """Whether the variable is empty, or handed in from outside and no address so far."""
        value = (service.environment.get(name) or "").strip()
        if not value:
            return True
        written = self.raw.environment(service.name, name)
        pure = written is not None and re.fullmatch(r"\$\{?\w+\}?", (written.text or "").strip())
        return bool(pure) and not addresses(value)

    def _is_handed_in(self, service: Service, name: str) -> bool:
        """Whether it is open because the user is to give it: written empty, it means the provider's own endpoint."""
        written = self.raw.environment(service.name, name)
        text = (written.text if written is not None else "") or ""
        return bool(re.fullmatch(r"\s*\$(?:\w+|\{\w+\})\s*", text)) and self._is_open(service, name)

    def _possible(self, service: Service, name: str, value: str | None) -> Setting:
        return self.setting(
            service,
            name,
            value,
            Verdict(
                None,
                reason="empty today, so it means OpenAI itself; write it as `{url}/v1` to send that to Ollama too",
            ),
        )

    def _generic(self, service: Service) -> dict[str, Setting]:
        """An empty endpoint of no named provider, interpolated from outside: somebody may point it at Ollama."""
        found = {}
        for name, value in service.environment.items():
            if not names.is_model_endpoint(name) or names.is_openai(name) or names.is_noise(name):
                continue
            written = self.raw.environment(service.name, name)
            if written is not None and written.text and "$" in written.text and self._is_open(service, name):
                found[name] = self.setting(
                    service,
                    name,
                    value,
                    Verdict(
                        None,
                        reason="empty today and of no named provider; it may be meant for Ollama",
                    ),
                )
        return found

    def setting(self, service: Service, name: str, value: str | None, verdict: Verdict) -> Setting:
        """A variable that the container has, with the place where it is written."""
        written = self.raw.environment(service.name, name)
        if written is not None:
            form = "list" if self.raw.list_form(service.name) else "map"
            return self.make("env", name, value, verdict, written.place, form)
        for entry in reversed(self.raw.env_files(service.name)):
            for line in self.lines(entry.text or ""):
                if line.name == name and not line.commented:
                    return self.make("env_file", name, value, verdict, Place(entry.text or "", line.line), "")
        files = self.raw.env_files(service.name)
        place = self.raw.key(service.name, "environment", "env_file")
        return self.make("env_file" if files else "env", name, value, verdict, place, "")

    def make(
        self, kind: Kind, name: str, value: str | None, verdict: Verdict, place: Place | None, form: str
    ) -> Setting:
        """A variable with what is known of it."""
        evidence = f"{self.source.shown(place.path)}:{place.line}" if place else ""
        return Setting(
            kind,
            name,
            redacted(value),
            verdict.template,
            evidence,
            verdict.reason,
            form,
            verdict.points_at,
            verdict.note,
            verdict.spots,
        )

    def lines(self, path: str) -> list[EnvLine]:
        """The parsed lines of an environment file; none where there is no such file."""
        if path not in self._files:
            self._files[path] = parse_env(self.source.reader.text(path) or "")
        return self._files[path]
