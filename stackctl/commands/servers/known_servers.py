"""The Ollama servers that a configuration knows, and how to talk to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stackctl.commands.context.project_loader import Stack, load_in_force, resolve_project, secret_reader
from stackctl.commands.context.session import Session
from stackctl.config.target import default_profile, resolve
from stackctl.config.url import HOST_ALIAS, OllamaUrl, UrlError, without_credentials
from stackctl.errors import ExpectedFailure, StackctlError, UsageError
from stackctl.ollama.server import Server
from stackctl.ports import Container
from stackctl.project.compose import Service
from stackctl.project.localollama import server_port

if TYPE_CHECKING:
    from stackctl.ollama.client import OllamaClient
    from stackctl.project.compose import ComposeProject
    from stackctl.transaction.state import State

LOCAL = "local"


@dataclass
class Inventory:
    """The instances of ``stackctl.yaml`` in order, and ``local`` where its container runs.

    ``local_missing`` says why it does not, ready to follow a message.
    """

    session: Session
    stack: Stack
    state: State | None
    servers: dict[str, Server]
    local: Container | None = None
    local_missing: str = ""
    _containers: list[Container] | None = field(default=None, repr=False)
    _project: tuple[ComposeProject, Stack] | None = field(default=None, repr=False)

    def connect(self, server: Server) -> OllamaClient:
        """A client for a server; the local one is reached through its container's network."""
        from stackctl.ollama.client import OllamaClient  # noqa: PLC0415  (0.2 s, and a backup asks no server)

        if server.name == LOCAL and self.local is not None:
            return OllamaClient(server, backend=self.session.into_container(self.local, server.url.port))
        return OllamaClient(server)

    def server(self, name: str) -> Server:
        """One server by name, by URL, or ``local``; ``UsageError`` where there is none of that name."""
        if name in self.servers:
            return self.servers[name]
        if "://" in name:
            return _of_url(name)
        if name == LOCAL:
            raise ExpectedFailure(
                f"the Ollama container of this stack does not run{self.local_missing}", hint="stackctl up local"
            )
        known = ", ".join([*self.servers, *([] if LOCAL in self.servers else [LOCAL])])
        raise UsageError(f'no instance "{name}"', hint=f"known: {known}")

    def chosen(self, names: Sequence[str]) -> list[Server]:
        """The servers of these names, each once; all of them where none is named."""
        return [self.server(name) for name in dict.fromkeys(names)] if names else list(self.servers.values())

    def members(self, profile: str | None = None) -> list[str]:
        """The instances of a profile, by default of the one in force: best first, the fallback last."""
        config = self.stack.config
        if profile is None:
            in_force = self.state.profile if self.state else None
            try:
                return self.members(in_force or self._default())
            except UsageError:
                return self.members(self._default())
        target = resolve(config, profile)
        names = list(target.instances) or [LOCAL]
        if profile in config.profiles:
            names = [n for n in config.profiles[profile].use if n == LOCAL or config.instances[n].enabled]
            names.sort(key=lambda n: config.instances[n].priority if n in config.instances else 11)
        if target.fallback and target.fallback not in names:
            names.append(target.fallback)
        return names

    def reachable_members(self) -> list[str]:
        """Those of the members that can be asked: all but a local Ollama that does not run."""
        return [name for name in self.members() if name in self.servers or "://" in name]

    def _default(self) -> str:
        """The profile to use before the first ``up``; an enabled instance where the local server does not run."""
        name = default_profile(self.stack.config, has_local=self.local is not None or not self.stack.config.instances)
        if name == LOCAL and self.local is None:
            enabled = {n: i.priority for n, i in self.stack.config.instances.items() if i.enabled}
            name = min(enabled, key=lambda n: enabled[n], default=LOCAL)
        return name

    def required(self, name: str) -> list[str]:
        """The models that ``stackctl.yaml`` wants on a server."""
        config = self.stack.config
        own = (
            config.local.models
            if name == LOCAL
            else config.instances[name].models
            if name in config.instances
            else None
        )
        return list(config.models if own is None else own)

    def project(self) -> tuple[ComposeProject, Stack]:
        """The project as Compose resolves it, and the stack with its name. Asked once."""
        if self._project is None:
            self._project = resolve_project(self.session, self.stack)
        return self._project

    def containers(self) -> list[Container]:
        """Every container of the project."""
        if self._containers is None:
            self._containers = self.session.engine.containers(self._project_name())
        return self._containers

    def _project_name(self) -> str:
        """The Compose project's name; Compose is asked only where neither the configuration nor the state holds it."""
        if self.stack.call.project:
            return self.stack.call.project
        if self.state is not None and self.state.project:
            return self.state.project
        return self.project()[1].call.project or ""


def gather(session: Session, *, with_local: bool = True) -> Inventory:
    """Load the configuration and find the local container; its absence is no error."""
    state, stack = load_in_force(session)
    base = session.config_path.parent
    resolver = secret_reader(session, stack)

    def read(text: str) -> Any:
        value = resolver(text)
        session.hide([value.reveal()])
        return value

    servers = {
        name: Server.from_instance(name, instance, directory=base, resolve=read)
        for name, instance in stack.config.instances.items()
    }
    inventory = Inventory(session, stack, state, servers)
    if with_local:
        _find_local(inventory)
    return inventory


def _find_local(inventory: Inventory) -> None:
    service = inventory.stack.config.local.service
    try:
        found = [c for c in inventory.containers() if c.service == service]
    except StackctlError as error:
        if not inventory.servers:  # without the engine there is no server at all
            raise
        inventory.local_missing = f" ({error.message})"
        return
    running = next((c for c in found if c.state == "running"), None)
    if running is None:
        inventory.local_missing = f" ({service} is {found[0].state})" if found else ""
        return
    inventory.local = running
    port = server_port(Service(service, {"environment": running.environment}))
    inventory.servers = {LOCAL: Server(LOCAL, OllamaUrl("http", "127.0.0.1", port), priority=11), **inventory.servers}


def _of_url(text: str) -> Server:
    try:
        return Server(text, OllamaUrl.parse(text))
    except UrlError as error:
        hint = f"write {error.corrected}" if error.corrected else ""
        raise UsageError(f"{without_credentials(text)}: {error.message}", hint=hint) from None


def as_consumer_sees(session: Session, server: Server, consumer: Container) -> Server:
    """The server as a consumer reaches it: what is loopback here is the Docker host there."""
    if server.url.is_loopback:
        server = replace(server, url=server.url.with_host(HOST_ALIAS), address="host-gateway")
    if server.address == "host-gateway" or (server.url.host == HOST_ALIAS and not server.address):
        server = replace(server, address=_host_gateway(session, server.url.host, consumer))
    return server


def _host_gateway(session: Session, name: str, consumer: Container) -> str | None:
    """The address that ``host-gateway`` stands for in a container; None where its own hosts file has the name."""
    if consumer.network_mode == "host":
        return "127.0.0.1"
    known = (consumer.raw.get("HostConfig") or {}).get("ExtraHosts") or []
    if any(str(entry).startswith((f"{name}:", f"{name}=")) for entry in known):
        return None
    # Without `host-gateway-ip`, the engine takes the gateway of its default bridge (moby: daemon/daemon_unix.go).
    bridge = session.engine.network("bridge") or {}
    gateways = [str(entry.get("Gateway") or "") for entry in (bridge.get("IPAM") or {}).get("Config") or []]
    own = [str(network.get("Gateway") or "") for network in consumer.networks.values()]
    return next(filter(None, [*gateways, *own]), None)
