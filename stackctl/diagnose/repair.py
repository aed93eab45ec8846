"""Repairs as values: what of our override would change, and which containers would be made anew. Pure.

A repair never touches a file of the user's: it is a fragment of Compose YAML
that comes after all other files, and can be taken away again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.config.url import HOST_ALIAS
from stackctl.diagnose.embedded import holds_secret
from stackctl.diagnose.findings import Finding
from stackctl.diagnose.scene import Scene
from stackctl.project.yamltext import Text
from stackctl.redaction import without_credentials


@dataclass(frozen=True)
class Repair:
    """One change. ``services`` and ``networks`` go into the override; ``recreate`` are the services to bring up.

    ``force`` recreates even what did not change; ``network`` is one of ours to
    be created first; ``says`` is the question, in one line.
    """

    says: str
    services: Mapping[str, Any] = field(default_factory=dict)
    networks: Mapping[str, Any] = field(default_factory=dict)
    recreate: tuple[str, ...] = ()
    force: bool = False
    network: str = ""
    profile: str = ""
    model: tuple[str, str] | None = None
    """``(container, model)`` to pull."""


WHOLE = frozenset({"alive", "dotenv_value", "env_file_value"})
"""Words that are a whole value; the others are the address within it."""


@dataclass(frozen=True)
class RepairCase:
    """What a repair stands on: the finding with its words, and the project."""

    finding: Finding
    scene: Scene

    def word(self, key: str) -> str:
        """One of them, or empty."""
        return str(self.finding.words.get(key, ""))

    @property
    def consumer(self) -> str:
        """The service that is to change."""
        return self.finding.consumer or self.word("service")

    @property
    def server(self) -> str:
        """The service to change: the one that the URL means, or the Ollama of the project."""
        named = self.word("target_service")
        if named in self.scene.project.services:
            return named
        service = self.word("service")
        return service if service in self.scene.project.services else next(iter(self.scene.ollama_services), "")

    @property
    def names_at(self) -> str:
        """The service whose `extra_hosts` count for the consumer: the one whose network it shares, where it does."""
        project = self.scene.project
        owner = project.network_owner(self.consumer) if self.consumer in project.services else self.consumer
        service = project.services.get(owner)
        return "" if service is not None and service.network_mode.startswith("container:") else owner

    def tell(self, key: str, *, variable: str = "", more: Mapping[str, Any] | None = None) -> Repair | None:
        """Tell the consumer another value of its variable."""
        value = self.word(key)
        name = variable or self.word("variable")
        if not value or "<" in value or not name or self.word("place"):
            return None
        before, after = (self.word("before"), self.word("after")) if not variable and key not in WHOLE else ("", "")
        if holds_secret(before + after):
            return None
        setting = {name: f"{before}{value}{after}"}
        if self.word("port_variable") and not variable and re.search(r":\d+$", value):
            setting = {name: value.rpartition(":")[0], self.word("port_variable"): value.rpartition(":")[2]}
        own: dict[str, Any] = {
            "environment": {n: Text(v.replace("$", "$$")) for n, v in setting.items()},
            **(more or {}),
        }
        services = {self.consumer: own}
        if HOST_ALIAS in value:
            if not self.names_at:
                return None
            services[self.names_at] = {**services.get(self.names_at, {}), "extra_hosts": [f"{HOST_ALIAS}:host-gateway"]}
        said = ", ".join(f"{n}={without_credentials(v)}" for n, v in setting.items())
        return Repair(f"set {said} for {self.consumer}", services, recreate=tuple(services))

    def serve(self, environment: Mapping[str, str]) -> Repair | None:
        """Set variables of the Ollama service."""
        if not self.server:
            return None
        said = ", ".join(f"{k}={v}" for k, v in environment.items())
        values = {k: Text(v) for k, v in environment.items()}
        return Repair(f"set {said} for {self.server}", {self.server: {"environment": values}}, recreate=(self.server,))

    def change(self, service: str, says: str, **keys: Any) -> Repair | None:
        """Set or reset keys of a service."""
        return Repair(says, {service: keys}, recreate=(service,)) if service in self.scene.project.services else None
