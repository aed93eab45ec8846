"""The board on which signs are noted, and the case that they are read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Unpack

from stackctl.diagnose.answers import AimAnswers, Connected, ProbeAnswers
from stackctl.diagnose.scene import Scene, UrlSetting
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.words import Scope, Words
from stackctl.ports import Container
from stackctl.project.compose import Service

STANDARD_PORT = 11434


@dataclass
class Board:
    """Signs that hold, the words for them, and lines of what was seen (by sign).

    ``scope`` says what it is of: a consumer's URL, an Ollama service, or any service of the project.
    ``remarks`` are lines that no cause asks for; they are shown where no cause explains what failed.
    """

    on: set[Sign] = field(default_factory=set)
    words: Words = field(default_factory=Words)
    seen: dict[Sign, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    scope: Scope = "consumer"

    def note(self, sign: Sign, line: str = "", **words: Unpack[Words]) -> None:
        """Note a sign, the line that shows it, and its words for the texts; what was said first stays."""
        self.on.add(sign)
        if line:
            self.seen.setdefault(sign, line)
        self.words = {**words, **self.words}

    def remark(self, line: str) -> None:
        """Keep a line of what was seen that is no sign of any cause."""
        self.remarks.append(line)


@dataclass(frozen=True)
class Case:
    """One URL of one consumer, with everything that was seen of it."""

    scene: Scene
    setting: UrlSetting
    container: Container | None
    service: Service | None
    seen: ProbeAnswers | None
    aim: AimAnswers
    further: ProbeAnswers | None

    @classmethod
    def of(cls, scene: Scene, setting: UrlSetting) -> Case:
        """Look everything up once."""
        seen = scene.seen.get(setting.consumer)
        return cls(
            scene,
            setting,
            scene.container(setting.consumer),
            scene.project.services.get(setting.consumer),
            seen,
            (seen.aims.get(setting.aim) if seen else None) or AimAnswers(),
            scene.further.get(setting.consumer),
        )

    @property
    def where(self) -> str:
        """``seen from … in …``, for lines of evidence."""
        vantage = self.seen.vantage if self.seen else "engine"
        return f"seen from {vantage} in {self.setting.consumer}"

    @property
    def host(self) -> str:
        """The host of the URL, or empty."""
        return self.setting.url.host if self.setting.url else ""

    @property
    def port(self) -> int:
        """The port of the URL, or 0."""
        return self.setting.url.port if self.setting.url else 0

    @property
    def reached(self) -> Connected | None:
        """The first address that accepted."""
        return next((c for c in self.aim.connected if c.ok), None)

    @property
    def tried(self) -> Connected | None:
        """The address to speak of: the one that accepted, else the first tried."""
        return self.reached or next(iter(self.aim.connected), None)

    @property
    def network_mode(self) -> str:
        """Of the container, else of the service."""
        if self.container is not None:
            return self.container.network_mode
        return self.service.network_mode if self.service else ""

    @property
    def on_host_network(self) -> bool:
        """Whether it shares the host's own network."""
        return self.network_mode == "host"

    @property
    def attached(self) -> set[str]:
        """Networks that it is on, by another container's namespace too; empty where it has no container."""
        container = self.container
        if container is not None and self.network_mode.startswith("container:"):
            container = self.scene.by_id(self.network_mode.removeprefix("container:")) or container
        return set(container.networks) if container is not None else set()

    @property
    def extra_hosts(self) -> dict[str, str]:
        """Pinned names, as the container has them (or would)."""
        if self.container is not None:
            entries = (self.container.raw.get("HostConfig") or {}).get("ExtraHosts") or []
            pairs = [str(e).replace("=", ":", 1).partition(":") for e in entries]
            return {name: address for name, _, address in pairs}
        return {
            name: values[0] for name, values in (self.service.extra_hosts if self.service else {}).items() if values
        }

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the container, else those that it would have."""
        if self.container is not None:
            return self.container.environment
        return {k: v or "" for k, v in (self.service.environment if self.service else {}).items()}

    def further_aim(self, name: str) -> AimAnswers:
        """What a second look brought under that aim."""
        return (self.further.aims.get(name) if self.further else None) or AimAnswers()

    @property
    def targets(self) -> list[Container]:
        """Containers that the host of the URL means: by name, or by address."""
        if not self.setting.url or not self.host:
            return []
        if self.setting.url.ip is not None:
            owner = self.scene.owner_of(self.host)
            return [owner] if owner else []
        return sorted(self.bearers, key=lambda c: c.state != "running")

    @property
    def bearers(self) -> list[Container]:
        """Containers that the name can mean: the project's own, else those on a network of the consumer, else any.

        Of any, only one whose own name it is: that a service of another project
        is called so within that project is no evidence.
        """
        found = self.scene.named(self.host)
        mine = {c.id for c in self.scene.containers}
        own = [c for c in found if c.id in mine]
        if own or self.host in self.scene.project.services:
            return own
        near = [c for c in found if self.attached & set(c.networks)]
        return near or [c for c in found if c.name == self.host or not c.labels.get("com.docker.compose.project")]

    @property
    def target(self) -> Container | None:
        """The container that the URL means: who has the address reached, else by name, running ones first."""
        tried = self.tried
        if tried is not None and (owner := self.scene.owner_of(tried.address)) is not None:
            return owner
        return next(iter(self.targets), None)
