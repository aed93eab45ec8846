"""From the options of ``host-setup`` to a :class:`HostPlan`: what they leave out is taken from the stack."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stackctl.commands.context.project_loader import Stack, load, resolve_project
from stackctl.commands.context.session import Session
from stackctl.commands.host.machine import ServerHost
from stackctl.config.models import Instance
from stackctl.config.url import DEFAULT_PORT, HOST_ALIAS, OllamaUrl
from stackctl.errors import EngineUnusable, StackctlError, UsageError
from stackctl.hostsetup.host_plan import (
    ETC,
    SHARED_PORTS,
    HostPlan,
    Network,
    Proxy,
    Tunnel,
    collapse,
    parse_network,
    project_name,
)
from stackctl.project.compose import ComposeProject
from stackctl.project.localollama import tuning_variables

_PATH = re.compile(r"^/[A-Za-z0-9._/+@-]+$")
_SSH = re.compile(r"^(?:([A-Za-z_][A-Za-z0-9._-]*)@)?(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::(\d{1,5}))?$")
_IMAGE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")
_VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]*$")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_KEY|CREDENTIAL")


@dataclass(frozen=True)
class SetupOptions:
    """The options of ``host-setup`` as given; None and empty ones are derived from the stack."""

    subject: str
    instance: str | None = None
    project: str | None = None
    bind: str | None = None
    port: int | None = None
    sources: Sequence[str] = ()
    shared: bool = False
    settings: Sequence[str] = ()
    tuning: bool = False
    nft_chain: str | None = None
    server_name: str | None = None
    certificate: str | None = None
    key: str | None = None
    token_file: str | None = None
    no_token: bool = False
    timeout: int = 3600
    ssh: str | None = None
    identity: str | None = None
    known_hosts: str | None = None
    compose: bool = False
    base_image: str | None = None


@dataclass(frozen=True)
class StackFacts:
    """What is known of the stack. ``stack`` is None where there is no ``stackctl.yaml``."""

    name: str
    stack: Stack | None = None
    project: ComposeProject | None = None
    instance: Instance | None = None
    here: bool = True
    """Whether the instance runs on this machine."""
    notes: tuple[str, ...] = field(default=())


def derive(session: Session, host: ServerHost, options: SetupOptions) -> tuple[HostPlan, tuple[str, ...]]:
    """The plan, and notes for the user on how it was derived. Raises :class:`UsageError`."""
    facts = _stack_facts(session, host, options)
    url = facts.instance.url if facts.instance else None
    behind_tls = url is not None and url.scheme == "https"
    notes = list(facts.notes)
    port = options.port or (
        DEFAULT_PORT if options.subject == "systemd" and behind_tls else url.port if url else DEFAULT_PORT
    )
    plan = HostPlan(
        project=facts.name,
        bind=_address("--bind", options.bind) if options.bind else "127.0.0.1" if behind_tls else "0.0.0.0",  # noqa: S104
        port=port,
        exclusive=not options.shared and port not in SHARED_PORTS,
        environment=_environment(options, facts),
        nft_chain=_chain(options.nft_chain),
    )
    if options.subject in ("ufw", "firewalld", "iptables", "nftables"):
        allowed, more = _sources(session, host, options, facts)
        notes += more
        plan = replace(plan, allowed=allowed)
        if port in SHARED_PORTS:
            notes.append(
                f"Port {port} is one that others may need, so it is opened for the stack and closed to nobody."
            )
    elif options.subject == "systemd":
        plan = replace(plan, docker_address=plan.bind in _bridge_addresses(session))
    elif options.subject in ("nginx", "caddy"):
        plan = replace(plan, proxy=_proxy(options, facts, url))
    elif options.subject == "ssh-tunnel":
        plan = replace(plan, tunnel=_tunnel(session, options, facts), port=options.port or DEFAULT_PORT)
    return plan, tuple(notes)


def stack_sources(session: Session, host: ServerHost) -> tuple[Network, ...]:
    """The stack's own subnets; empty where there is no stack or no engine."""
    try:
        options = SetupOptions("ufw")
        return _sources(
            session, host, options, replace(_stack_facts(session, host, options), here=True, instance=None)
        )[0]
    except StackctlError:
        return ()


def _stack_facts(session: Session, host: ServerHost, options: SetupOptions) -> StackFacts:
    name = project_name(options.project) if options.project else ""
    if session.files.read(session.config_path, limit=0) is None:
        if options.instance:
            raise UsageError(f"no {session.config_name} in {session.directory}, so no instance is known")
        return StackFacts(name or project_name(session.directory.name))
    stack = load(session)
    instance = _instance(stack, options.instance)
    try:
        project, stack = resolve_project(session, stack)
    except EngineUnusable as error:
        note = (f"Docker could not be asked ({error.message}).",)
        own = stack.call.project or project_name(session.directory.name)
        return StackFacts(name or own, stack, None, instance, _is_here(host, instance), note)
    return StackFacts(name or project.name, stack, project, instance, _is_here(host, instance))


def _instance(stack: Stack, name: str | None) -> Instance | None:
    """The instance of that name, or the only one; None where there are several."""
    instances = stack.config.instances
    if name is None:
        return next(iter(instances.values())) if len(instances) == 1 else None
    if name not in instances:
        raise UsageError(f'no instance "{name}"', hint=f"known: {', '.join(instances) or 'none'}")
    return instances[name]


def _is_here(host: ServerHost, instance: Instance | None) -> bool:
    if instance is None or instance.url.is_loopback or instance.url.host == HOST_ALIAS:
        return True
    if instance.address == "host-gateway":
        return True
    return (instance.address or instance.url.host) in host.addresses()


def _sources(
    session: Session, host: ServerHost, options: SetupOptions, facts: StackFacts
) -> tuple[tuple[Network, ...], list[str]]:
    """Who connects, and notes: the sources given; or the stack's subnets; or our address towards another machine."""
    if options.sources:
        # Checked again once collapsed: 0.0.0.0/1 and 128.0.0.0/1 together are every address.
        return tuple(_network(str(joined)) for joined in collapse([_network(text) for text in options.sources])), []
    if not facts.here and facts.instance is not None:
        where = facts.instance.address or facts.instance.url.host
        mine = host.source_towards(where)
        if mine is None:
            raise UsageError(
                f"{where} cannot be resolved from here, so the address that it sees is not known",
                hint="name it: --from ADDRESS",
            )
        note = f"{where} sees the stack as {mine}, this machine's address: Docker puts it in place of the containers'."
        return (parse_network(mine),), [note]
    if facts.stack is None:
        raise UsageError(
            f"no {session.config_name} here, so the stack's addresses are not known",
            hint="name them: --from SUBNET (twice for two), or run this in the stack's directory",
        )
    if facts.project is None:
        raise UsageError("the stack's subnets are not known without Docker", hint="name them: --from SUBNET")
    return _subnets(session, facts.stack, facts.project)


def _subnets(session: Session, stack: Stack, project: ComposeProject) -> tuple[tuple[Network, ...], list[str]]:
    found: list[Network] = []
    missing, floating = [], []
    names = engine_networks(stack, project)
    # Networks that stackctl created: the gateway may reach the server through one of them.
    ours = [str(n.get("Name")) for n in session.engine.networks({"io.stackctl.project": project.name})]
    names.update({name: name for name in ours if name not in names.values()})
    for key, name in names.items():
        declared = _declared(project.networks.get(key) or {})
        network = session.engine.network(name)
        configs = ((network or {}).get("IPAM") or {}).get("Config") or []
        subnets = [config["Subnet"] for config in configs if config.get("Subnet")] if network else declared
        if not subnets:
            missing.append(name)
        elif key in project.networks and not declared and not (project.networks[key] or {}).get("external"):
            floating.append(key)
        found += [parse_network(subnet) for subnet in subnets]
    if not found:
        what = (
            f"the network {', '.join(missing)} does not exist yet"
            if missing
            else "no service of the stack joins a network"
        )
        raise UsageError(what, hint="bring the stack up first, or name its subnet: --from 172.18.0.0/16")
    notes = []
    if missing:
        notes.append(f"Not yet there, and so left out: {', '.join(missing)}.")
    if floating:
        notes.append(
            f"Docker chose the subnet of {', '.join(floating)}, and may choose another when the network is made anew: "
            "fix it with `networks: NAME: ipam: config: [{subnet: …}]` in the Compose file."
        )
    return collapse(found), notes


def engine_networks(stack: Stack, project: ComposeProject) -> dict[str, str]:
    """Project network keys that consumers join, to the names that the engine knows them by."""
    services = [name for name in stack.config.consumers if name in project.services] or list(project.services)
    found: dict[str, str] = {}
    for service in services:
        for key in project.services[project.network_owner(service)].networks:
            found[key] = str((project.networks.get(key) or {}).get("name") or f"{project.name}_{key}")
    if stack.config.network.shared:
        found.setdefault(stack.config.network.shared, stack.config.network.shared)
    return found


def _declared(network: Mapping[str, Any]) -> list[str]:
    configs = (network.get("ipam") or {}).get("config") or []
    return [str(config["subnet"]) for config in configs if config and config.get("subnet")]


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        raise UsageError(f"--from {text}: {error}", hint="--from 172.18.0.0/16, or one address") from None


def _address(option: str, text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise UsageError(f'{option} {text}: "{text}" is not an IP address', hint=f"{option} 0.0.0.0") from None


def _environment(options: SetupOptions, facts: StackFacts) -> dict[str, str]:
    found: dict[str, str] = {}
    if options.tuning and facts.stack is not None:
        found.update({name: str(value) for name, value in tuning_variables(facts.stack.config.local.tuning).items()})
    for setting in options.settings:
        name, equals, value = setting.partition("=")
        if not equals or not _VARIABLE.match(name) or name == "OLLAMA_HOST":
            hint = "use --bind and --port" if name == "OLLAMA_HOST" else "--set OLLAMA_KEEP_ALIVE=24h"
            raise UsageError(f"--set {name}: expected NAME=VALUE", hint=hint)
        if _SECRET_NAME.search(name):
            raise UsageError(f"--set {name}: a secret is not for a unit file, which everybody can read")
        found[name] = value
    return found


def _chain(text: str | None) -> tuple[str, str, str] | None:
    if text is None:
        return None
    words = text.split()
    if len(words) != 3 or words[0] not in ("inet", "ip", "ip6") or not all(re.fullmatch(r"[\w./-]+", w) for w in words):
        raise UsageError(f"--nft-chain {text}: expected FAMILY TABLE CHAIN", hint="--nft-chain 'inet filter input'")
    return words[0], words[1], words[2]


def _bridge_addresses(session: Session) -> set[str]:
    """Addresses of the engine's bridges on its host."""
    try:
        networks = session.engine.networks()
    except StackctlError:
        return {"172.17.0.1"}
    configs = [config for n in networks for config in (n.get("IPAM") or {}).get("Config") or []]
    return {config["Gateway"] for config in configs if config.get("Gateway")}


def _proxy(options: SetupOptions, facts: StackFacts, url: OllamaUrl | None) -> Proxy:
    name = options.server_name or (url.host if url is not None and not url.is_loopback else "")
    if not name or not re.fullmatch(r"[A-Za-z0-9._:-]+", name):
        raise UsageError(
            f"{options.subject} needs the name that the stack calls the server by", hint="--server-name HOST"
        )
    secure = url is not None and url.scheme == "https"
    if bool(options.certificate) != bool(options.key):
        raise UsageError("a certificate comes with its key", hint="--certificate FILE --key FILE")
    certificate, key = options.certificate or "", options.key or ""
    if not certificate and options.subject == "nginx":
        certificate, key = f"{ETC}/{name}.crt", f"{ETC}/{name}.key"
    token = "" if options.no_token else options.token_file or f"{ETC}/{facts.name}.token"
    for path in filter(None, (certificate, key, token)):
        _path(path)
    bound = options.bind or "127.0.0.1"
    return Proxy(
        server_name=f"[{name}]" if ":" in name and options.subject == "nginx" else name,
        port=options.port or (url.port if url is not None and secure else 443),
        prefix=url.prefix if url is not None and secure else "",
        upstream=f"{_address('--bind', bound) if ':' not in bound else f'[{bound}]'}:{DEFAULT_PORT}",
        certificate=certificate,
        key=key,
        token_file=token,
        timeout=options.timeout,
    )


def _tunnel(session: Session, options: SetupOptions, facts: StackFacts) -> Tunnel:
    if not options.ssh:
        raise UsageError("ssh-tunnel needs the server", hint="--ssh USER@HOST[:PORT]")
    match = _SSH.match(options.ssh)
    if match is None:
        raise UsageError(f"--ssh {options.ssh}: expected USER@HOST[:PORT]")
    tunnel = Tunnel(
        host=match[2].strip("[]"),
        user=match[1] or Tunnel.user,
        ssh_port=int(match[3] or 22),
        bind=_address("--bind", options.bind) if options.bind else _host_gateway(session),
        identity=_path(options.identity or Tunnel.identity),
        known_hosts=_path(options.known_hosts or Tunnel.known_hosts),
    )
    if facts.stack is not None and facts.project is not None:
        own = engine_networks(facts.stack, facts.project)
        tunnel = replace(tunnel, networks=tuple(key for key in own if key in facts.project.networks))
    if options.base_image:
        if not _IMAGE.match(options.base_image):
            raise UsageError(f"--base-image {options.base_image}: not an image reference")
        tunnel = replace(tunnel, base_image=options.base_image)
    return tunnel


def _host_gateway(session: Session) -> str:
    """What ``host-gateway`` means on this engine: the address of its default bridge."""
    try:
        bridge = session.engine.network("bridge") or {}
    except StackctlError:
        return Tunnel.bind
    configs = (bridge.get("IPAM") or {}).get("Config") or []
    return next((str(c["Gateway"]) for c in configs if "." in str(c.get("Gateway", ""))), Tunnel.bind)


def _path(text: str) -> str:
    """The path; ``UsageError`` unless it needs no quoting in shell, systemd units, nginx, Caddy and YAML."""
    if not _PATH.match(text) or ".." in text.split("/"):
        raise UsageError(f"{text}: expected an absolute path of letters, digits and . _ / + @ -")
    return text
