"""What a consumer is really connected to, beside what it is told: an app may keep an address of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile.prepare import pinned_addresses
from stackctl.commands.reconcile.verify import Verified
from stackctl.config.target import resolve
from stackctl.errors import StackctlError
from stackctl.ports import Container
from stackctl.project.compose import Service
from stackctl.project.localollama import server_port

Peers = frozenset[tuple[str, int]]


def known_servers(session: Session, stack: Stack, containers: Sequence[Container]) -> dict[tuple[str, int], str]:
    """The address and port of every Ollama that this project knows without asking a resolver, and its name."""
    found: dict[tuple[str, int], str] = {}
    plain = stack.config.model_copy(update={"gateway": False})
    for name in stack.config.instances:
        try:
            target = resolve(plain, name)
        except StackctlError:
            continue
        at = (str(target.url.ip),) if target.url.ip else pinned_addresses(session, target).get(target.url.host, ())
        found |= {(address, target.url.port): name for address in at}
    for container in containers:
        if container.service == stack.config.local.service and container.state == "running":
            port = server_port(Service(container.service, {"environment": container.environment}))
            for endpoint in container.networks.values():
                if address := endpoint.get("IPAddress"):
                    found[address, port] = "local"
    return found


def seen_to_use(answer: Verified, known: Mapping[tuple[str, int], str]) -> tuple[str | None, bool]:
    """The Ollama that a consumer has connections to (None where none is seen now), and whether it is another one.

    Only an address that is a known Ollama's and not the one that the consumer is told counts as another.
    """
    if answer.connections & answer.asked_at:
        # What it is told is in use; whatever it is connected to besides may be what the app is meant to have.
        return str(answer.url), False
    other = next((known[peer] for peer in sorted(answer.connections) if peer in known), None)
    return other, other is not None


def alone_in_its_namespace(container: Container, containers: Sequence[Container]) -> bool:
    """Whether its sockets are its own: nobody shares its network namespace, which is not the host's either."""
    if container.network_mode == "host" or container.network_mode.startswith("container:"):
        return False
    return not any(c.network_mode == f"container:{container.id}" for c in containers if c.state == "running")
