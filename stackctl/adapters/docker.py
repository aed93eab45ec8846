"""The Docker engine and Compose, behind :class:`stackctl.ports.Engine`.

Reading is :class:`~stackctl.adapters.api.EngineApi`, acting is :mod:`~stackctl.adapters.whales`, and Compose is
:mod:`~stackctl.adapters.compose`. What none of them can do runs the docker client, by :meth:`DockerEngine.cli`.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar

from stackctl.adapters import enginefail, process
from stackctl.adapters.api import ApiRefused, ApiUnavailable, EngineApi, by_label, plain
from stackctl.adapters.compose import Compose
from stackctl.adapters.confinement import confined
from stackctl.adapters.counts import counted_processes, told_to_end
from stackctl.adapters.enginesocket import socket_path
from stackctl.adapters.remember import Remembering, once
from stackctl.adapters.whales import Whales
from stackctl.errors import EngineUnusable
from stackctl.ports import Completed, ComposeCall, Container, EngineInfo

T = TypeVar("T")
CLIENT_WITHIN = 5.0
"""Seconds that the docker client may take to say why the engine cannot be read."""


class DockerEngine(Remembering):
    """One engine: the default one, or that of a Docker context."""

    def __init__(self, context: str | None = None, *, on_command: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._context = context
        self._say = on_command or (lambda _text: None)
        self._program = shutil.which("docker")

    # -- the two gates ---------------------------------------------------

    def _argv(self, *arguments: str) -> list[str]:
        if self._program is None:
            raise enginefail.no_client()
        return [self._program, *(["--context", self._context] if self._context else []), *arguments]

    def client_argv(self) -> list[str]:
        """The docker client with its context, for what runs beside this adapter."""
        return self._argv()

    def cli(
        self,
        arguments: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout: float = 30.0,
        variables: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run ``docker ARGUMENTS``; raises :class:`EngineUnusable` where the engine is to blame."""
        argv = self._argv(*arguments)
        self._say(process.shown(argv[1:]))
        done = enginefail.started(lambda: process.run(argv, stdin=stdin, timeout=timeout, variables=variables))
        if done.code and (reason := enginefail.classify(done.error_text)):
            raise reason
        return done

    def compose(
        self,
        call: ComposeCall,
        arguments: Sequence[str],
        *,
        timeout: float | None = None,
        attached: bool = False,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run ``docker compose … ARGUMENTS`` in the project's directory."""
        if attached:
            return self._compose.attach(call, arguments)
        return self._compose.run(call, arguments, timeout=timeout, on_line=on_line)

    @cached_property
    def _compose(self) -> Compose:
        return Compose(self._argv(), self._context, self._say)

    @cached_property
    def _whales(self) -> Whales:
        return Whales(self._argv()[0], self._context, self._say)

    def get_ready(self) -> None:
        """Load what acting on containers needs, side by side with what runs."""
        threading.Thread(target=self._whales.load, daemon=True).start()

    def connect_meanwhile(self) -> None:
        """Load what reading takes, and connect, while Compose reads the next project."""
        self._compose.meanwhile = self._connect

    def _connect(self) -> None:
        with suppress(ApiUnavailable, EngineUnusable):  # the first read tells of it
            self._api.connect()

    def compose_version(self) -> str:
        """Compose's version; raises :class:`EngineUnusable` where it is absent or too old. Asked once."""
        return self._compose_version()

    @once
    def _compose_version(self) -> str:
        return self._compose.version()

    def info(self) -> EngineInfo:
        """What ``docker info`` shows of the engine, and Compose's version. Asked once."""
        return self._info()

    def _ask(self, question: Callable[[EngineApi], T]) -> T:
        try:
            return question(self._api)
        except ApiUnavailable as error:
            raise self._why(error) from None

    def _why(self, error: ApiUnavailable) -> EngineUnusable:
        """The docker client's own words for what is wrong with the engine, by asking it the simplest question."""
        done = self.cli(["version", "--format", "{{.Server.Version}}"], timeout=CLIENT_WITHIN)
        return EngineUnusable(
            f"the Docker engine does not answer as it should: {error}; {done.error_text.strip()}".rstrip("; ")
        )

    @property
    def _api(self) -> EngineApi:
        return self.recall("api", lambda: EngineApi(self._argv(), self._context))

    @once
    def _raw_info(self) -> dict[str, Any]:
        return self._ask(lambda api: api.info())

    @property
    def is_desktop(self) -> bool:
        """Whether it is Docker Desktop's, which runs in a virtual machine of its own."""
        return "Docker Desktop" in str(self._raw_info().get("OperatingSystem"))

    @once
    def _info(self) -> EngineInfo:
        raw = self._raw_info()
        if not raw.get("ServerVersion"):
            raise EngineUnusable("the Docker engine does not say what it is")
        security = " ".join(raw.get("SecurityOptions") or [])
        return EngineInfo(
            version=raw["ServerVersion"],
            compose_version=self.compose_version(),
            local=self.is_local,
            rootless="rootless" in security,
            desktop=self.is_desktop,
            runtimes=tuple(raw.get("Runtimes") or ()),
            cdi_devices=tuple(d["ID"] for d in raw.get("DiscoveredDevices") or [] if d.get("Source") == "cdi"),
            raw=raw,
        )

    @cached_property
    def is_local(self) -> bool:
        """Whether the engine listens on a socket of this machine."""
        if socket_path(self._context) is not None:
            return True
        if self._context is None and os.environ.get("DOCKER_HOST"):
            return False
        done = self.cli(["context", "inspect", *([self._context] if self._context else [])])
        endpoints = json.loads(done.text or "[]") if not done.code else []
        host = str(endpoints[0]["Endpoints"]["docker"].get("Host", "")) if endpoints else ""
        return host.startswith(("unix://", "npipe://")) or host == ""

    # -- Compose ---------------------------------------------------------

    def config(
        self,
        call: ComposeCall,
        *,
        all_profiles: bool = False,
        unchecked: bool = False,
        on_warnings: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """The resolved project as Compose's JSON."""
        return self._compose.config(call, all_profiles=all_profiles, unchecked=unchecked, on_warnings=on_warnings)

    def hashes(self, call: ComposeCall) -> dict[str, str]:
        """Each active service and Compose's hash of it; this also validates the whole."""
        return self._compose.hashes(call)

    # -- containers ------------------------------------------------------

    def containers(self, project: str | None) -> list[Container]:
        """Every container of the project, or of the engine, one-off ones left out."""
        label = by_label({"com.docker.compose.project": project} if project is not None else None)
        listed = self._ask(lambda api: api.containers(label))
        found = self.inspect([c["Id"] for c in sorted(listed, key=lambda c: str(c.get("Names")))])
        return [c for c in found if not c.one_off]

    def inspect(self, containers: Sequence[str]) -> list[Container]:
        """Inspect what is still there."""
        found = (self._ask(lambda api, name=name: api.container(name)) for name in containers)  # type: ignore[misc]
        return [Container(raw) for raw in found if raw is not None]

    def processes(self, container: str) -> tuple[int, int] | None:
        """How many processes run in a container, and how many may: by its control group, so from outside."""
        stats = self._ask(lambda api: api.stats(container))
        return counted_processes(stats) if stats else None

    def being_stopped(self, containers: Sequence[str]) -> list[str]:
        """Those of these IDs that were told to end and have not ended yet."""
        return self._ask(lambda api: told_to_end(api, containers))

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
        """Run a process in a container."""
        # python-on-whales has neither a standard input nor a timeout for it.
        flags = ["--interactive"] if stdin is not None else []
        flags += ["--user", user] if user else []
        for name in variables or {}:
            flags += ["--env", name]
        return self.cli(["exec", *flags, container, *argv], stdin=stdin, timeout=timeout, variables=variables)

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
        """A short-lived container that removes itself, confined to what a probe needs."""
        # As for `exec`: python-on-whales has neither a standard input nor a timeout for it.
        import secrets  # noqa: PLC0415

        name = f"stackctl-probe-{secrets.token_hex(6)}"
        flags = ["--rm", "--pull", "never", "--name", name, "--network", network, "--log-driver", "none"]
        flags += confined()
        flags += ["--interactive"] if stdin is not None else []
        flags += [*(["--user", user] if user else []), *options]
        flags += ["--entrypoint", entrypoint] if entrypoint is not None else []
        for flag, values in (("--add-host", extra_hosts), ("--volume", mounts)):
            for value in values:
                flags += [flag, value]
        for key, value in {"io.stackctl.role": "probe", **(labels or {})}.items():
            flags += ["--label", f"{key}={value}"]
        for key in variables or {}:
            flags += ["--env", key]
        try:
            done = self.cli(["run", *flags, image, *argv], stdin=stdin, timeout=timeout, variables=variables)
        except BaseException:
            self._drop(name)
            raise
        if done.timed_out:
            self._drop(name)
        return done

    def _drop(self, name: str) -> None:
        """Remove a container of :meth:`run`, by the client: an interrupted verb has no time to load another way."""
        with suppress(EngineUnusable):
            self.cli(["rm", "--force", name], timeout=CLIENT_WITHIN)

    def stop(self, container: str, *, timeout: int = 10) -> None:
        """Stop a container."""
        self._whales.act(lambda d: d.container.stop(container, time=timeout), f"stop {container}")

    def remove(self, container: str, *, force: bool = False) -> None:
        """Remove a container."""
        self._whales.act(lambda d: d.container.remove(container, force=force), f"remove {container}")

    def start(self, container: str) -> None:
        """Start a container."""
        self._whales.act(lambda d: d.container.start(container), f"start {container}")

    def logs(self, container: str, *, tail: int = 100) -> str:
        """The last lines, both streams in order; empty where the engine keeps none (``--log-driver none``)."""
        try:
            text = plain(self._api.logs(container, tail) or b"")
        except ApiRefused:
            return ""
        except ApiUnavailable as error:
            raise self._why(error) from None
        return text.decode("utf-8", "replace")

    # -- networks, volumes, images ---------------------------------------

    def network(self, name: str) -> dict[str, Any] | None:
        """Inspect a network."""
        return self._ask(lambda api: api.network(name))

    def networks(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Networks by label."""
        listed = self._ask(lambda api: api.networks(by_label(labels)))
        found = (self.network(n["Id"]) for n in listed)
        return [raw for raw in found if raw is not None]

    def create_network(self, name: str, *, labels: Mapping[str, str]) -> None:
        """Create a bridge network."""
        self._whales.act(lambda d: d.network.create(name, labels=dict(labels)), f"create the network {name}")

    def remove_network(self, name: str) -> None:
        """Remove a network."""
        self._whales.act(lambda d: d.network.remove(name), f"remove the network {name}")

    def volume(self, name: str) -> dict[str, Any] | None:
        """Inspect a volume."""
        return self._ask(lambda api: api.volume(name))

    def volumes(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Volumes by label."""
        return self._ask(lambda api: api.volumes(by_label(labels)))

    def create_volume(self, name: str, *, labels: Mapping[str, str]) -> None:
        """Create a volume."""
        self._whales.act(lambda d: d.volume.create(name, labels=dict(labels)), f"create the volume {name}")

    def remove_volume(self, name: str) -> None:
        """Remove a volume."""
        self._whales.act(lambda d: d.volume.remove(name), f"remove the volume {name}")

    def image(self, reference: str) -> dict[str, Any] | None:
        """Inspect an image."""
        return self._ask(lambda api: api.image(reference))

    def images(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Images by label, newest first."""
        listed = self._ask(lambda api: api.images(by_label(labels)))
        found = sorted(listed, key=lambda i: i.get("Created") or 0, reverse=True)
        return [{"Id": i["Id"], "RepoTags": i.get("RepoTags") or [], "Labels": i.get("Labels") or {}} for i in found]

    def import_image(self, archive: bytes, reference: str, *, labels: Mapping[str, str]) -> None:
        """Import a tar archive as an image."""
        self._whales.import_image(archive, reference, labels)

    def remove_image(self, reference: str) -> None:
        """Remove an image."""
        self._whales.act(lambda d: d.image.remove(reference), f"remove the image {reference}")
