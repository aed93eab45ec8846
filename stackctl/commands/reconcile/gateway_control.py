"""Between the gateway's pure room and the stack: build it, reload it, ask it, try what stands behind it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stackctl.commands.context.project_loader import Stack, secret_reader
from stackctl.commands.context.session import Session
from stackctl.config.secrets import Secret
from stackctl.config.target import GATEWAY_SERVICE, Target
from stackctl.config.url import OllamaUrl
from stackctl.errors import StackctlError, StepFailed, Untrusted, WrongInput
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.project.facts import GatewayPart
from stackctl.project.localollama import local_address, server_port
from stackctl.waiting import until

if TYPE_CHECKING:
    from stackctl.gateway.credentials import GatewaySecret

DRAIN = 10.0
"""Seconds that a server which is to go may take to finish what the gateway has under way there."""


@dataclass(frozen=True)
class BuiltGateway:
    """The gateway for one target: its part of the override, and the configuration that it is to run."""

    part: GatewayPart
    text: str = field(repr=False)
    digest: str
    warnings: tuple[str, ...] = ()


def build(session: Session, stack: Stack, project: ComposeProject, target: Target) -> BuiltGateway:
    """Render the gateway; raises :class:`WrongInput` where a CA file cannot be read."""
    from stackctl.gateway import control, haproxy, service, upstream  # noqa: PLC0415
    from stackctl.gateway.names import IMAGE_HOME, IMAGE_PUBLIC, LOCAL_ALIAS  # noqa: PLC0415

    config = stack.config
    own = project.services.get(config.local.service)
    networks, on_host = _consumer_networks(project, list(config.consumers))
    local = OllamaUrl("http", LOCAL_ALIAS, server_port(own))
    if own is not None and own.network_mode:
        # It joins no network of its own; the gateway meets it as any service outside of its namespace does.
        local = local_address(project, config, GATEWAY_SERVICE)
        owner = project.services.get(project.network_owner(own.name), own)
        networks += [n for n in owner.networks if n not in networks]
    # Consumers that already say one of the server's names keep it; so do those whose address nothing can change.
    host = config.local.service if own is not None else GATEWAY_SERVICE
    aliases = sorted(own.answers_to()) if own is not None else []
    publish = (config.local.publish or "127.0.0.1:11434") if on_host else None
    wanted = config.gateway.image if not isinstance(config.gateway, bool) else None
    present = [i for i in (IMAGE_PUBLIC, IMAGE_HOME) if session.engine.image(i) is not None]
    part = service.fragment(
        project=project.name,
        image=control.image(wanted, present),
        networks=dict.fromkeys(networks, aliases),
        publish=publish,
    )
    group = upstream.group(config, target, local=local, ca=_ca_files(session, stack, target))
    try:
        rendered = haproxy.render(group)
    except ValueError as error:
        raise WrongInput(f"the gateway cannot be told what {stack.file} says of an instance: {error}") from None
    return BuiltGateway(
        part=GatewayPart(
            name=GATEWAY_SERVICE,
            service=part.service,
            top=part.top,
            host=host,
            published=int(publish.rpartition(":")[2]) if publish else None,
            local_networks=service.local_networks(),
        ),
        text=rendered.text,
        digest=rendered.digest,
        warnings=rendered.warnings,
    )


def _values(session: Session, stack: Stack, names: Collection[str]) -> dict[GatewaySecret, Secret]:
    """The values of these secrets, as far as they can be had."""
    from stackctl.gateway.credentials import gateway_secrets  # noqa: PLC0415

    read = secret_reader(session, stack)
    found = {}
    for secret in (s for s in gateway_secrets(stack.config) if s.name in names):
        try:
            value = read(str(secret.reference))
        except Untrusted:
            raise
        except StackctlError as error:
            session.reporter.detail(f"{secret.reference}: {error.message}")
            continue
        session.hide([value.reveal()])
        found[secret] = value
    return found


def _consumer_networks(project: ComposeProject, consumers: Sequence[str]) -> tuple[list[str], bool]:
    networks: dict[str, None] = {}
    on_host = False
    for name in consumers:
        owner = project.services[project.network_owner(name)] if name in project.services else None
        if owner is None:
            continue
        if owner.network_mode == "host":
            on_host = True
        elif not owner.network_mode:
            networks.update(dict.fromkeys(owner.networks or ["default"]))
    return list(networks), on_host


def _ca_files(session: Session, stack: Stack, target: Target) -> dict[str, str]:
    found: dict[str, str] = {}
    members = [*target.instances, *([target.fallback] if target.fallback else [])]
    for name in members:
        instance = stack.config.instances.get(name)
        if instance is None or not instance.tls.ca_file:
            continue
        data = session.files.read(session.config_path.parent / instance.tls.ca_file)
        if data is None:
            raise WrongInput(
                f"the CA file of {name} is not there: {instance.tls.ca_file}",
                where=stack.locate(("instances", name, "tls", "ca_file")),
            )
        found[name] = data.decode("utf-8", "replace")
    return found


def container_of(containers: Sequence[Container]) -> Container | None:
    """The gateway's running container, where there is one."""
    return next((c for c in containers if c.service == GATEWAY_SERVICE and c.state == "running"), None)


def running(session: Session, containers: Sequence[Container]) -> tuple[str, str] | None:
    """Digest and text of what the gateway runs; None where it does not run or does not say."""
    from stackctl.gateway import control, state  # noqa: PLC0415

    container = container_of(containers)
    if container is None:
        return None
    asked = session.engine.exec(container.id, control.STATE, timeout=10.0)
    text = session.engine.exec(container.id, control.RUNNING, timeout=10.0)
    if asked.code or text.code:
        return None
    try:
        return state.parse(asked.text).digest, text.text
    except (ValueError, KeyError):
        return None


def serving(session: Session, containers: Sequence[Container]) -> tuple[str | None, str | None]:
    """The instance that new requests go to, and one line where not everything is as the profile wants it."""
    from stackctl.gateway import control, state  # noqa: PLC0415

    container = container_of(containers)
    if container is None:
        return None, "the gateway does not run"
    done = session.engine.exec(container.id, control.STATE, timeout=10.0)
    try:
        seen = state.parse(done.text)
    except (ValueError, KeyError):
        return None, "the gateway does not say what it serves"
    return (seen.serving[0] if seen.serving else None), seen.notice


def under_way(session: Session, containers: Sequence[Container], server: Container, port: int) -> int:
    """How many requests the gateway has under way at a server of this project; 0 without a gateway."""
    from stackctl.gateway import control  # noqa: PLC0415

    gateway = container_of(containers)
    addresses = [
        str(network[key])
        for network in server.networks.values()
        for key in ("IPAddress", "GlobalIPv6Address")
        if network.get(key)
    ]
    if gateway is None or gateway.id == server.id or not addresses:
        return 0
    done = session.engine.exec(gateway.id, control.requests_argv(addresses, port), timeout=10.0)
    return int(done.text) if done.code == 0 and done.text.strip().isdigit() else 0


def drain(session: Session, project: str, name: str, port: int) -> int:
    """Wait a while until the gateway has no request under way at the container ``name``; how many are left."""
    left = 0

    def idle() -> bool:
        nonlocal left
        containers = session.engine.containers(project)
        server = next((c for c in containers if c.name == name and c.state == "running"), None)
        left = under_way(session, containers, server, port) if server else 0
        return not left

    until(idle, within=DRAIN, every=0.15)
    return left


def secrets_moved(session: Session, stack: Stack, containers: Sequence[Container]) -> bool:
    """Whether a secret in the running gateway is not the one that is to be had now."""
    from stackctl.gateway import control  # noqa: PLC0415

    container = container_of(containers)
    if container is None:
        return False
    done = session.engine.exec(container.id, control.SECRET_DIGESTS, timeout=10.0)
    if done.code:
        return False
    values = _values(session, stack, control.secret_digests(done.text))
    return bool(control.stale_secrets(done.text, values))


def reload(session: Session, stack: Stack, container: Container, text: str, digest: str) -> None:
    """Give the gateway this configuration, with its secrets as they are now; raises :class:`StepFailed`."""
    from stackctl.gateway import control  # noqa: PLC0415

    values = _values(session, stack, control.secret_names(text))
    try:
        given = control.apply_input(text, values)
    except ValueError as error:
        raise StepFailed(f"a secret of the gateway cannot be sent in a header: {error}") from None
    done = session.engine.exec(container.id, control.apply_argv(digest), stdin=given, timeout=control.APPLY_TIMEOUT)
    control.check_applied(done)
