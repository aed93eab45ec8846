"""The Docker engine and Compose, behind :class:`stackctl.ports.Engine`.

Reading goes through the ``docker`` command and the engine's socket, for a second ``up`` must not pay for what it does
not use; acting goes through :mod:`stackctl.adapters.whales`. Compose runs through one gate here: python-on-whales
keeps neither its standard error nor an environment of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from stackctl.adapters import enginefail, plugin, process
from stackctl.adapters.api import ApiUnavailable, EngineApi, by_label
from stackctl.adapters.counts import counted_processes, told_to_end
from stackctl.adapters.enginefail import READ_TIMEOUT, compose_error, last_line, says_gone
from stackctl.adapters.enginesocket import socket_path
from stackctl.adapters.remember import Remembering, once
from stackctl.adapters.whales import Whales
from stackctl.errors import EngineUnusable, StepFailed
from stackctl.ports import Completed, ComposeCall, Container, EngineInfo

T = TypeVar("T")


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

    def compose_argv(self, call: ComposeCall) -> list[str]:
        """``docker compose`` with the files, environment and profiles of ``call``."""
        argv = self._argv("compose")
        if call.project:
            argv += ["--project-name", call.project]
        argv += ["--project-directory", str(call.directory)]
        for flag, values in (("--file", call.files), ("--env-file", call.env_files), ("--profile", call.profiles)):
            for value in values:
                argv += [flag, value]
        return argv

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
        argv = [*self.compose_argv(call), *arguments]
        if attached:
            self._say(process.shown(argv[1:]))
            return enginefail.started(lambda: process.attach(argv, variables=call.variables, cwd=str(call.directory)))
        return self._run_compose(argv, call.variables, str(call.directory), timeout, on_line)

    def _run_compose(
        self,
        argv: list[str],
        variables: Mapping[str, str],
        where: str | None,
        timeout: float | None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self._say(process.shown(argv[1:]))
        done = enginefail.started(
            lambda: process.run(argv, timeout=timeout, variables=variables, cwd=where, limit=64 << 20, on_line=on_line)
        )
        if done.code and (reason := enginefail.classify(done.error_text)):
            raise reason
        return done

    def _ask_compose(self, arguments: Sequence[str], call: ComposeCall | None = None) -> Completed:
        """A question to Compose that needs no engine, by its own program where that does the same."""
        argv = [*(self.compose_argv(call) if call else self._argv("compose")), *arguments]
        variables = dict(call.variables) if call else {}
        if self._plugin:
            variables[plugin.STARTED_BY] = argv[0]
            argv[0] = self._plugin
        return self._run_compose(argv, variables, str(call.directory) if call else None, READ_TIMEOUT)

    @cached_property
    def _plugin(self) -> str | None:
        return plugin.find(self._program) if self._program and not self._context else None

    @cached_property
    def _whales(self) -> Whales:
        return Whales(self._argv()[0], self._context, self._say)

    def get_ready(self) -> None:
        """Load what acting on containers needs, side by side with what runs."""
        threading.Thread(target=self._whales.load, daemon=True).start()

    def compose_version(self) -> str:
        """Compose's version; raises :class:`EngineUnusable` where it is absent or too old. Asked once."""
        return self._compose_version()

    @once
    def _compose_version(self) -> str:
        done = self._ask_compose(["version", "--short"])
        if done.code:
            raise EngineUnusable(f"Docker Compose does not run: {done.error_text.strip()}")
        enginefail.check_compose(done.text.strip())
        return done.text.strip().lstrip("v")

    def info(self) -> EngineInfo:
        """What ``docker info`` shows of the engine, and Compose's version. Asked once."""
        return self._info()

    def _read(self, kind: str, name: str, suffix: str = "") -> dict[str, Any] | None:
        return self._ask(lambda api: api.named(kind, name, suffix))

    def _list(self, path: str, query: Mapping[str, Any]) -> Any:
        return self._ask(lambda api: api.get(path, query)) or []

    def _ask(self, question: Callable[[EngineApi], T]) -> T:
        try:
            return question(self._api)
        except ApiUnavailable as error:
            raise self._why(error) from None

    def _why(self, error: ApiUnavailable) -> EngineUnusable:
        """The docker client's own words for what is wrong with the engine, by asking it the simplest question."""
        done = self.cli(["version", "--format", "{{.Server.Version}}"])
        return EngineUnusable(
            f"the Docker engine does not answer as it should: {error}; {done.error_text.strip()}".rstrip("; ")
        )

    @cached_property
    def _api(self) -> EngineApi:
        return EngineApi(self._argv(), self._context)

    @once
    def _raw_info(self) -> dict[str, Any]:
        return dict(self._list("/info", {}))

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

    def _read_project(self, call: ComposeCall, options: Sequence[str]) -> Completed:
        """``docker compose config``; raises :class:`ComposeFileError` in Compose's words."""
        done = self._ask_compose(["config", *options], call)
        if done.code:
            raise compose_error(done)
        return done

    def config(self, call: ComposeCall, *, all_profiles: bool = False, unchecked: bool = False) -> dict[str, Any]:
        """The resolved project as Compose's JSON."""
        profiles = ("*",) if all_profiles else call.profiles
        chosen = ComposeCall(call.directory, call.files, call.project, call.env_files, profiles, call.variables)
        options = ["--no-consistency"] if unchecked else []
        done = self._read_project(chosen, [*options, "--format", "json"])
        self._say(done.error_text.strip())
        result: dict[str, Any] = json.loads(done.text)
        return result

    def hashes(self, call: ComposeCall) -> dict[str, str]:
        """Each active service and Compose's hash of it; this also validates the whole."""
        done = self._read_project(call, ["--hash", "*"])
        return {name: digest for name, _, digest in (line.partition(" ") for line in done.text.splitlines()) if digest}

    # -- containers ------------------------------------------------------

    def containers(self, project: str) -> list[Container]:
        """Every container of the project, one-off ones left out."""
        label = f"com.docker.compose.project={project}"
        listed = self._list("/containers/json", {"all": "1", "filters": {"label": [label]}})
        found = self.inspect([c["Id"] for c in sorted(listed, key=lambda c: str(c.get("Names")))])
        return [c for c in found if not c.one_off]

    def inspect(self, containers: Sequence[str]) -> list[Container]:
        """Inspect what is still there."""
        found = (self._read("containers", name, "/json") for name in containers)
        return [Container(raw) for raw in found if raw is not None]

    def processes(self, container: str) -> tuple[int, int] | None:
        """How many processes run in a container, and how many may: by its control group, so from outside."""
        return counted_processes(self._read("containers", container, "/stats?stream=false&one-shot=true") or {})

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
    ) -> Completed:
        """A short-lived container that removes itself."""
        import secrets  # noqa: PLC0415

        name = f"stackctl-probe-{secrets.token_hex(6)}"
        flags = ["--rm", "--pull", "never", "--name", name, "--network", network, "--log-driver", "none"]
        flags += ["--interactive"] if stdin is not None else []
        flags += ["--user", user] if user else []
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
            self.remove(name, force=True)
            raise
        if done.timed_out:
            self.remove(name, force=True)
        return done

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
        """The last lines, both streams."""
        done = self.cli(["logs", "--tail", str(tail), container])
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    # -- networks, volumes, images ---------------------------------------

    def network(self, name: str) -> dict[str, Any] | None:
        """Inspect a network."""
        return self._read("networks", name)

    def networks(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Networks by label."""
        listed = self._list("/networks", {"filters": by_label(labels)})
        found = (self._read("networks", n["Id"]) for n in listed)
        return [raw for raw in found if raw is not None]

    def create_network(self, name: str, *, labels: Mapping[str, str]) -> None:
        """Create a bridge network."""
        self._whales.act(lambda d: d.network.create(name, labels=dict(labels)), f"create the network {name}")

    def remove_network(self, name: str) -> None:
        """Remove a network."""
        self._whales.act(lambda d: d.network.remove(name), f"remove the network {name}")

    def connect_network(self, network: str, container: str, *, aliases: Sequence[str] = ()) -> None:
        """Attach a container."""
        flags = [flag for alias in aliases for flag in ("--alias", alias)]
        done = self.cli(["network", "connect", *flags, network, container])
        if done.code and not says_gone(done.error_text):
            raise StepFailed(f"cannot connect {container} to {network}: {last_line(done.error_text)}")

    def disconnect_network(self, network: str, container: str) -> None:
        """Detach a container."""
        self._whales.act(lambda d: d.network.disconnect(network, container), f"disconnect {container} from {network}")

    def volume(self, name: str) -> dict[str, Any] | None:
        """Inspect a volume."""
        return self._read("volumes", name)

    def volumes(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Volumes by label."""
        listed: dict[str, Any] = self._list("/volumes", {"filters": by_label(labels)}) or {}
        return list(listed.get("Volumes") or [])

    def remove_volume(self, name: str) -> None:
        """Remove a volume."""
        self._whales.act(lambda d: d.volume.remove(name), f"remove the volume {name}")

    def image(self, reference: str) -> dict[str, Any] | None:
        """Inspect an image."""
        return self._read("images", reference, "/json")

    def images(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Images by label, newest first."""
        listed = self._list("/images/json", {"filters": by_label(labels)})
        found = sorted(listed, key=lambda i: i.get("Created") or 0, reverse=True)
        return [{"Id": i["Id"], "RepoTags": i.get("RepoTags") or [], "Labels": i.get("Labels") or {}} for i in found]

    def import_image(self, archive: bytes, reference: str, *, labels: Mapping[str, str]) -> str:
        """Import a tar archive as an image."""
        changes = [c for k, v in labels.items() for c in ("--change", f"LABEL {k}={v}")]
        done = self.cli(["import", *changes, "-", reference], stdin=archive)
        if done.code:
            reason = "no answer in time" if done.timed_out else last_line(done.error_text)
            raise EngineUnusable(f"cannot import {reference}: {reason}")
        return done.text.strip()

    def remove_image(self, reference: str) -> None:
        """Remove an image."""
        self._whales.act(lambda d: d.image.remove(reference), f"remove the image {reference}")
