"""What discovery found: frozen values, and their form in ``init --json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["app", "gateway", "model-pull", "init"]
Kind = Literal["env", "env_file", "command", "entrypoint", "build_arg", "config_file", "hardcoded", "none-visible"]


@dataclass(frozen=True)
class Spot:
    """One address in a setting's value: where it stands, the template for it, and the server that answers there.

    ``server`` is ``service:NAME`` for one of the project, the URL for one elsewhere, and empty where nobody can answer.
    ``user`` is that of credentials in the URL.
    """

    start: int
    end: int
    template: str
    server: str
    user: str | None = field(default=None, repr=False)
    has_password: bool = False


@dataclass(frozen=True)
class Setting:
    """One place that tells a service its Ollama.

    ``name`` is the variable, flag or file (None where there is none); ``value``
    what Compose resolves today; ``template`` what ``stackctl.yaml`` is to say
    (None where an override cannot reach it, with the ``reason``); ``evidence``
    is ``file:line``; ``form`` is ``list`` or ``map`` for a variable; ``points_at``
    is ``ollama``, ``host``, ``external``, ``gateway:SERVICE`` or empty.
    """

    kind: Kind
    name: str | None
    value: str | None
    template: str | None
    evidence: str
    reason: str = ""
    form: str = ""
    points_at: str = ""
    note: str = ""
    spots: tuple[Spot, ...] = ()

    @property
    def servers(self) -> list[str]:
        """Who is asked through it today, each once."""
        return list(dict.fromkeys(spot.server for spot in self.spots if spot.server))

    def document(self) -> dict[str, Any]:
        """The form of the contract."""
        return {
            "kind": self.kind,
            "name": self.name,
            "value": self.value,
            "template": self.template,
            "evidence": self.evidence,
        }


@dataclass(frozen=True)
class ModelSetting:
    """A variable that names a model: ``model`` is one of those in its ``value``, ``beside`` the addresses asked for it.

    ``template`` is what ``stackctl.yaml`` is to say (None where the variable is left as it is).
    """

    name: str
    value: str
    model: str
    template: str | None
    evidence: str
    beside: frozenset[str]
    embeds: bool = False

    def document(self) -> dict[str, Any]:
        """As ``init --json`` has it."""
        return {
            "name": self.name,
            "value": self.value,
            "model": self.model,
            "template": self.template,
            "evidence": self.evidence,
        }


@dataclass(frozen=True)
class Consumer:
    """A service that uses Ollama.

    ``arguments`` are whole ``command`` and ``entrypoint`` lists with templates;
    ``goes_with_server`` is a puller that waits for a server of the project, so
    that it has nothing to do when that one is off. ``keeps`` is an app that
    may have its Ollama in a database of its own.
    """

    service: str
    role: Role
    settings: tuple[Setting, ...]
    app: str = ""
    notes: tuple[str, ...] = ()
    goes_with_server: bool = False
    arguments: tuple[tuple[str, tuple[str, ...]], ...] = ()
    models: tuple[ModelSetting, ...] = ()
    keeps: bool = False

    @property
    def templates(self) -> dict[str, str]:
        """Variable to template: what goes into ``consumers`` of ``stackctl.yaml``."""
        told = [s for s in self.settings if s.kind in ("env", "env_file", "none-visible")]
        found = {s.name: s.template for s in told if s.name and s.template is not None}
        return {**found, **{m.name: m.template for m in self.models if m.template is not None}} if found else {}

    @property
    def switchable(self) -> bool:
        """Whether an override reaches at least one of its settings."""
        return bool(self.templates or self.arguments)

    def fixed_at(self, service: str) -> Setting | None:
        """The setting that holds it to the server ``service``, where no override can tell it another."""
        if self.switchable or self.goes_with_server:
            return None
        held = (s for s in self.settings if s.template is None and f"service:{service}" in s.servers)
        return next((s for s in held if s.evidence), None)

    @property
    def reason(self) -> str | None:
        """Why it is not switchable, or None."""
        if self.switchable:
            return None
        reasons = dict.fromkeys(s.reason for s in self.settings if s.reason)
        return "; ".join(reasons) or "no setting of it can be reached by an override"

    def document(self) -> dict[str, Any]:
        """The form of the contract."""
        return {
            "service": self.service,
            "role": self.role,
            "switchable": self.switchable,
            "settings": [s.document() for s in self.settings],
            "reason": self.reason,
            "app": self.app or None,
            "notes": list(self.notes),
            "models": [m.document() for m in self.models],
        }


@dataclass(frozen=True)
class OllamaService:
    """A service that is an Ollama server. ``port`` is the one that it listens on in its container."""

    service: str
    image: str
    evidence: str
    why: tuple[str, ...]
    port: int
    active: bool
    volumes: tuple[str, ...] = ()
    gpu: str = "none"
    healthcheck: str = ""
    ports: tuple[str, ...] = ()
    bundled: bool = False

    def document(self) -> dict[str, Any]:
        """The form of the contract, with what else is known."""
        return {
            "service": self.service,
            "image": self.image,
            "evidence": self.evidence,
            "why": list(self.why),
            "port": self.port,
            "active": self.active,
            "volumes": list(self.volumes),
            "gpu": self.gpu,
            "healthcheck": self.healthcheck or None,
            "ports": list(self.ports),
            "bundled": self.bundled,
        }


@dataclass(frozen=True)
class Helper:
    """A container that pulls models on its own and has no address to switch."""

    service: str
    why: str
    evidence: str


@dataclass(frozen=True)
class Findings:
    """All of it, in the order of the project's services. ``models`` are those that its helpers pull.

    Settled (see :mod:`~stackctl.project.discovery.staying`), they are those that its consumers ask for, too.
    """

    project: str
    ollama_services: tuple[OllamaService, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    helpers: tuple[Helper, ...] = ()
    ambiguous: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def consumer(self, service: str) -> Consumer | None:
        """The finding about one service."""
        return next((c for c in self.consumers if c.service == service), None)

    def document(self) -> dict[str, Any]:
        """The fields of ``stackctl.init/1``, without ``config``."""
        return {
            "project": self.project,
            "ollama_services": [s.document() for s in self.ollama_services],
            "consumers": [c.document() for c in self.consumers],
            "helpers": [{"service": h.service, "why": h.why, "evidence": h.evidence} for h in self.helpers],
            "ambiguous": list(self.ambiguous),
        }
