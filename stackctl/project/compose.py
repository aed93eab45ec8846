"""The user's Compose project, as ``docker compose config --format json`` resolves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast


@dataclass(frozen=True)
class Service:
    """One resolved service; ``raw`` is Compose's own JSON for it."""

    name: str
    raw: Mapping[str, Any]

    @property
    def image(self) -> str:
        """The image reference, or an empty string for a service that is only built."""
        return cast("str", self.raw.get("image") or "")

    @property
    def environment(self) -> dict[str, str | None]:
        """Variables as the container will have them; None is passed through from nowhere."""
        return dict(self.raw.get("environment") or {})

    @property
    def depends_on(self) -> dict[str, dict[str, Any]]:
        """Edges in map form: service to ``{"condition", "required", "restart"?}``."""
        return dict(self.raw.get("depends_on") or {})

    @property
    def networks(self) -> list[str]:
        """Keys of the project's networks that the service joins; empty with a ``network_mode``."""
        return list(self.raw.get("networks") or {})

    @property
    def network_mode(self) -> str:
        """``host``, ``none``, ``service:x``, ``container:x``, ``bridge`` or empty."""
        return cast("str", self.raw.get("network_mode") or "")

    @property
    def is_scaled_to_none(self) -> bool:
        """Whether `scale: 0` or `deploy.replicas: 0` says that it is to have no container."""
        return self.replicas == 0

    @property
    def profiles(self) -> list[str]:
        """Compose profiles that switch the service on; empty means always."""
        return list(self.raw.get("profiles") or [])

    @property
    def extra_hosts(self) -> dict[str, list[str]]:
        """Pinned names: host to addresses, from Compose's ``name=address`` list form."""
        hosts: dict[str, list[str]] = {}
        for entry in self.raw.get("extra_hosts") or []:
            name, _, address = str(entry).partition("=")
            hosts.setdefault(name, []).append(address)
        return hosts

    @property
    def ports(self) -> list[dict[str, Any]]:
        """Published ports in long form: ``{"target": int, "published"?: str, "host_ip"?: str, …}``."""
        return list(self.raw.get("ports") or [])

    @property
    def volumes(self) -> list[dict[str, Any]]:
        """Mounts in long form: ``{"type", "source"?, "target", …}``."""
        return list(self.raw.get("volumes") or [])

    @property
    def replicas(self) -> int:
        """How many containers Compose makes of it: ``scale``, else ``deploy.replicas``, else one."""
        scale = self.raw.get("scale")
        if scale is None:
            scale = (self.raw.get("deploy") or {}).get("replicas")
        return 1 if scale is None else int(scale)

    @property
    def container_name(self) -> str:
        """An explicit container name, or empty."""
        return cast("str", self.raw.get("container_name") or "")

    def answers_to(self) -> set[str]:
        """Names under which siblings resolve this service: key, container name, host name, aliases on its networks."""
        names = {self.name}
        if self.container_name:
            names.add(self.container_name)
        for attachment in (self.raw.get("networks") or {}).values():
            names.update((attachment or {}).get("aliases") or [])
        if hostname := self.raw.get("hostname"):
            names.add(hostname)
        return names


@dataclass(frozen=True)
class ComposeProject:
    """A resolved project. ``services`` holds every service, of inactive profiles too.

    ``active`` are the names of the services that the profiles in force switch on.
    """

    name: str
    directory: str
    services: Mapping[str, Service]
    active: frozenset[str]
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    volumes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, directory: str, active: frozenset[str] | None = None
    ) -> ComposeProject:
        """Wrap the JSON of ``docker compose config``; without ``active``, all services count as active."""
        services = {name: Service(name, raw or {}) for name, raw in (config.get("services") or {}).items()}
        return cls(
            name=str(config.get("name") or ""),
            directory=directory,
            services=services,
            active=frozenset(services) if active is None else active,
            networks={k: v or {} for k, v in (config.get("networks") or {}).items()},
            volumes={k: v or {} for k, v in (config.get("volumes") or {}).items()},
            configs={k: v or {} for k, v in (config.get("configs") or {}).items()},
            secrets={k: v or {} for k, v in (config.get("secrets") or {}).items()},
        )

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services.values())

    def network_owner(self, service: str) -> str:
        """The service whose network namespace ``service`` uses, after every ``network_mode: service:x``."""
        seen: set[str] = set()
        while service in self.services and service not in seen:
            seen.add(service)
            mode = self.services[service].network_mode
            if not mode.startswith("service:"):
                break
            service = mode.removeprefix("service:")
        return service
