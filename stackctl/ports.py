"""The interfaces to the outside world: protocols, and the plain values that they exchange.

``stackctl.adapters`` implements them, ``stackctl.commands`` uses them, and tests
replace them to force failures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Completed:
    """A finished process. ``stdout`` and ``stderr`` are raw bytes; ``timed_out`` means that it was ended."""

    code: int
    stdout: bytes = b""
    stderr: bytes = b""
    timed_out: bool = False

    @property
    def text(self) -> str:
        """Standard output as text, undecodable bytes replaced."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        """Standard error as text, undecodable bytes replaced."""
        return self.stderr.decode("utf-8", "replace")


@dataclass(frozen=True)
class ComposeCall:
    """Which Compose project to act on, and with which files.

    ``files`` and ``env_files`` are paths relative to ``directory`` or absolute.
    ``variables`` are added to the environment of the Compose process only
    (secrets travel here, never in an argument).
    """

    directory: Path
    files: tuple[str, ...]
    project: str | None = None
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class EngineInfo:
    """What the engine can do. Versions as text; ``local`` where its host is this machine."""

    version: str
    compose_version: str
    local: bool
    rootless: bool
    desktop: bool
    runtimes: tuple[str, ...]
    cdi_devices: tuple[str, ...]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Container:
    """A container as ``docker inspect`` shows it; ``raw`` is that JSON."""

    raw: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """The full ID."""
        return str(self.raw.get("Id") or "")

    @property
    def name(self) -> str:
        """The name without its leading slash."""
        return str(self.raw.get("Name") or "").lstrip("/")

    @property
    def labels(self) -> dict[str, str]:
        """Labels, Compose's own among them."""
        return dict((self.raw.get("Config") or {}).get("Labels") or {})

    @property
    def service(self) -> str:
        """The Compose service, or empty for a container that Compose did not make."""
        return self.labels.get("com.docker.compose.service", "")

    @property
    def config_hash(self) -> str:
        """Compose's hash of the service that this container was made from."""
        return self.labels.get("com.docker.compose.config-hash", "")

    @property
    def one_off(self) -> bool:
        """Whether ``docker compose run`` made it."""
        return self.labels.get("com.docker.compose.oneoff", "False") == "True"

    @property
    def state(self) -> str:
        """``running``, ``exited``, ``created``, ``restarting``, ``paused`` or ``dead``."""
        return str((self.raw.get("State") or {}).get("Status") or "unknown")

    @property
    def exit_code(self) -> int:
        """Exit code of the last run."""
        return int((self.raw.get("State") or {}).get("ExitCode") or 0)

    @property
    def health(self) -> str | None:
        """``starting``, ``healthy`` or ``unhealthy`` while it runs; None without a healthcheck.

        The engine calls a container unhealthy as soon as it has ended, however well it did.
        """
        health = (self.raw.get("State") or {}).get("Health") if self.state == "running" else None
        return str(health["Status"]) if health and health.get("Status") not in (None, "none") else None

    @property
    def restarts(self) -> int:
        """How often the engine has started it again after a fall."""
        return int(self.raw.get("RestartCount") or 0)

    @property
    def patience(self) -> float:
        """Seconds after which its own healthcheck must have given a verdict; 0 without one."""
        check = (self.raw.get("Config") or {}).get("Healthcheck") or {}
        if not check.get("Test") or check["Test"] == ["NONE"]:
            return 0.0
        # As the engine counts: nanoseconds, 0 for its default.
        round_trip = int(check.get("Interval") or 30e9) + int(check.get("Timeout") or 30e9)
        return (int(check.get("StartPeriod") or 0) + round_trip * int(check.get("Retries") or 3)) / 1e9

    @property
    def started_at(self) -> str:
        """RFC 3339 time of the last start."""
        return str((self.raw.get("State") or {}).get("StartedAt") or "")

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the container was created with."""
        entries = (self.raw.get("Config") or {}).get("Env") or []
        return {name: value for name, _, value in (str(e).partition("=") for e in entries)}

    @property
    def arguments(self) -> dict[str, list[str]]:
        """``entrypoint`` and ``command`` that the container was created with."""
        config = self.raw.get("Config") or {}
        return {"entrypoint": list(config.get("Entrypoint") or []), "command": list(config.get("Cmd") or [])}

    @property
    def stop_timeout(self) -> float:
        """Seconds that it may take to end once told to; the engine's default is 10."""
        return float((self.raw.get("Config") or {}).get("StopTimeout") or 10)

    @property
    def bounds_processes(self) -> bool:
        """Whether it runs with a limit on its processes (``pids_limit``)."""
        return self.state == "running" and int((self.raw.get("HostConfig") or {}).get("PidsLimit") or 0) > 0

    @property
    def networks(self) -> dict[str, dict[str, Any]]:
        """Engine network name to its endpoint settings."""
        return dict((self.raw.get("NetworkSettings") or {}).get("Networks") or {})

    @property
    def network_mode(self) -> str:
        """``host``, ``none``, ``container:ID``, or the name of a network."""
        return str((self.raw.get("HostConfig") or {}).get("NetworkMode") or "")


class Engine(Protocol):
    """The Docker engine and Compose. Every method may raise ``EngineUnusable``."""

    def compose_version(self) -> str:
        """Compose's version; raises ``EngineUnusable`` where it is absent or older than 2.24.4."""

    def get_ready(self) -> None:
        """Load what acting on containers needs, in the background."""

    def connect_meanwhile(self) -> None:
        """Connect to the engine while Compose reads the next project; the first read raises what failed."""

    def info(self) -> EngineInfo:
        """What the engine is and can do; raises ``EngineUnusable`` with the command that mends it."""

    def config(
        self,
        call: ComposeCall,
        *,
        all_profiles: bool = False,
        unchecked: bool = False,
        on_warnings: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """``docker compose config --format json``; raises ``ComposeFileError`` in Compose's words.

        ``unchecked`` leaves out Compose's checks of consistency: a service may then refer to what is not there.
        ``on_warnings`` is given what Compose says on standard error beside the project; by default ``-v`` shows it.
        """

    def hashes(self, call: ComposeCall) -> dict[str, str]:
        """``docker compose config --hash '*'``: service to hash, of active services."""

    def compose(
        self,
        call: ComposeCall,
        arguments: Sequence[str],
        *,
        timeout: float | None = None,
        attached: bool = False,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run ``docker compose … ARGUMENTS``; ``attached`` lends it the terminal and captures nothing.

        ``on_line`` is given each line of standard error as it comes.
        """

    def containers(self, project: str | None) -> list[Container]:
        """Every container of a Compose project, or of the whole engine, stopped ones too, one-off ones left out."""

    def inspect(self, containers: Sequence[str]) -> list[Container]:
        """Inspect by ID or name; those that are gone are left out."""

    def processes(self, container: str) -> tuple[int, int] | None:
        """How many processes and threads run in a container, and how many may; None where there is no limit."""

    def being_stopped(self, containers: Sequence[str]) -> list[str]:
        """Those of these IDs that are being stopped and have not ended yet."""

    def exec(
        self,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout: float = 30.0,
        user: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a process in a container, without a terminal. Output is cut at 4 MiB a stream."""

    def run(
        self,
        image: str,
        argv: Sequence[str],
        *,
        network: str = "none",
        labels: Mapping[str, str] | None = None,
        extra_hosts: Sequence[str] = (),
        mounts: Sequence[str] = (),
        entrypoint: str | None = None,
        stdin: bytes | None = None,
        timeout: float = 30.0,
        user: str | None = None,
        variables: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> Completed:
        """A short-lived container, removed when it ends or when the timeout passes. Never pulls.

        ``network`` is what ``docker run --network`` takes (``container:ID`` too);
        ``options`` are further ones of it; ``mounts`` what ``--volume`` takes;
        ``variables`` go by the process environment, never by argument.
        """

    def stop(self, container: str, *, timeout: int = 10) -> None:
        """Stop a container; nothing when it is gone."""

    def remove(self, container: str, *, force: bool = False) -> None:
        """Remove a container, its anonymous volumes kept; nothing when it is gone."""

    def start(self, container: str) -> None:
        """Start a stopped container."""

    def logs(self, container: str, *, tail: int = 100) -> str:
        """The last lines of both streams, in order."""

    def network(self, name: str) -> dict[str, Any] | None:
        """``docker network inspect``, or None."""

    def networks(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Every network that carries the labels, inspected."""

    def create_network(self, name: str, *, labels: Mapping[str, str]) -> None:
        """Create a bridge network."""

    def remove_network(self, name: str) -> None:
        """Remove a network; nothing when it is gone."""

    def volume(self, name: str) -> dict[str, Any] | None:
        """``docker volume inspect``, or None."""

    def volumes(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Every volume that carries the labels: ``{"Name", "Labels", …}``."""

    def create_volume(self, name: str, *, labels: Mapping[str, str]) -> None:
        """Create a volume."""

    def remove_volume(self, name: str) -> None:
        """Remove a volume; nothing when it is gone."""

    def image(self, reference: str) -> dict[str, Any] | None:
        """``docker image inspect``, or None where the engine does not have it."""

    def images(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Every image that carries the labels, newest first: ``{"Id", "RepoTags", "Labels"}``."""

    def import_image(self, archive: bytes, reference: str, *, labels: Mapping[str, str]) -> None:
        """``docker import`` of a tar archive."""

    def remove_image(self, reference: str) -> None:
        """Remove an image; nothing when it is gone."""

    def cli(self, arguments: Sequence[str], *, stdin: bytes | None = None, timeout: float = 30.0) -> Completed:
        """Any other ``docker ARGUMENTS`` on this engine; for reading what has no method of its own."""


class Files(Protocol):
    """The state directory and the files around it. Writes are atomic, mode 0600, with fsync."""

    def read(self, path: Path, *, limit: int | None = None) -> bytes | None:
        """The bytes, or None where there is no such file; raises ``WrongInput`` where it cannot be read."""

    def names(self, path: Path) -> list[str]:
        """Names in a directory, sorted, directories with a slash at the end; empty where it cannot be read."""

    def write(self, path: Path, data: bytes, *, mode: int = 0o600) -> bool:
        """Write by rename; nothing (False) when the bytes are the same already."""

    def append(self, path: Path, line: str) -> None:
        """Append one line and sync it."""

    def remove(self, path: Path) -> None:
        """Remove a file or a directory of ours; nothing when it is gone."""

    def lock(self, path: Path, purpose: str) -> AbstractContextManager[None]:
        """Hold the project's lock; raises ``ProjectLocked`` with holder, age and purpose."""


@dataclass(frozen=True)
class Progress:
    """How far a step has got. ``total`` is 0 where it is not known; ``unit`` is ``bytes`` or ``steps``."""

    label: str
    done: float = 0
    total: float = 0
    unit: str = "steps"


class Reporter(Protocol):
    """Reports what a command is doing, on standard error, never on standard output."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """A step that takes time: shown while it runs, ticked when it ends, crossed when it raises."""

    def progress(self, progress: Progress) -> None:
        """The progress of a long step; drawn as a bar in a terminal, as rare lines elsewhere."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def warn(self, text: str) -> None:
        """Something that will cause trouble later."""

    def detail(self, text: str) -> None:
        """What only ``-v`` shows."""

    def ask(self, question: str, *, default: bool = False) -> bool:
        """A yes or no; ``default`` without a terminal."""

    def choose(self, question: str, options: Sequence[str], *, default: int = 0) -> int:
        """The index of one of the options; ``default`` without a terminal."""


class HostNames(Protocol):
    """The machine that stackctl runs on: its resolver, and its devices."""

    def device_group(self, path: str) -> int | None:
        """The group that owns a device file, or None where there is no such device."""

    def resolve(self, name: str) -> list[str]:
        """Addresses of ``name``, IPv4 first; empty where it does not resolve."""

    def is_own(self, host: str) -> bool:
        """Whether a name or an address leads to this machine itself."""


Clock = Callable[[], float]
"""Seconds since the epoch."""
