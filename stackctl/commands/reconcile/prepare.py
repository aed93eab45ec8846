"""From a loaded stack and a target to the override that points the one at the other; Compose has not read it yet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stackctl.commands.context.project_loader import Stack, secret_reader
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile import gateway_control
from stackctl.commands.reconcile.gpu_choice import choose, gives_gpu, others_with_gpu
from stackctl.commands.reconcile.left_behind import look
from stackctl.config.interpolate import names_in
from stackctl.config.target import HOST_GATEWAY, Target, default_profile
from stackctl.config.url import HOST_ALIAS, OllamaUrl
from stackctl.errors import StackctlError, Untrusted
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.project.facts import Facts
from stackctl.project.override import OverrideFile, render, token_variable
from stackctl.project.proxyrules import client_proxies
from stackctl.redaction import REDACTED
from stackctl.transaction.state import State

DEFAULT_IMAGE = "ollama/ollama:0.33.0"


@dataclass(frozen=True)
class Prepared:
    """A target with its override, and the variables that Compose needs to read it."""

    target: Target
    override: OverrideFile
    variables: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()
    gateway: gateway_control.BuiltGateway | None = None
    client_proxies: Mapping[str, str] = field(default_factory=dict)
    keeps_local: bool = False
    """Whether the local server stays for others, although the target is another one."""


def choose_profile(stack: Stack, project: ComposeProject, state: State | None, name: str | None) -> str:
    """The profile to act on: the one named, else the one in force, else the default."""
    if name:
        return name
    if state is not None and _still_known(stack, state.profile):
        return state.profile
    return default_profile(stack.config, has_local=stack.config.local.service in project.services)


def _still_known(stack: Stack, profile: str) -> bool:
    config = stack.config
    return profile == "local" or "://" in profile or profile in config.instances or profile in config.profiles


def prepare(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    target: Target,
    *,
    pins: Mapping[str, str] | None = None,
    with_secrets: bool = True,
    containers: Sequence[Container] | None = None,
) -> Prepared:
    """Render the override for ``target``. Raises :class:`GpuUnavailable` or :class:`WrongInput`.

    ``pins`` are names that earlier proved to need an address of the host's resolver;
    ``containers`` are those of the project, where they are known already.
    Without ``with_secrets`` nothing is read for the token, and a mask stands for it.
    """
    target = target.with_pins(host_pins(session, target, pins or {}))
    gateway = gateway_control.build(session, stack, project, target) if stack.config.gateway else None
    part = gateway.part if gateway else None
    warnings: list[str] = list(gateway.warnings) if gateway else []
    references = {path[1:]: text for path, text in stack.tree.references.items()}
    if not stack.config.told:
        warnings.append("no consumer is told its Ollama, and none is asked: `consumers` names none; stackctl init")
    bound = look(session, stack, project, target, containers)
    stays = target.needs_local or bool(bound.dependents)
    if said := bound.warning(stack.config.local.service):
        warnings.append(said)
    facts = Facts(
        default_image=DEFAULT_IMAGE,
        gateway=part,
        references=references,
        keep_local=not target.needs_local and stays,
        awake=bound.awake,
        client_proxies=proxies_of_client(session),
    )
    others = others_with_gpu(stack.config, project)
    if stays or gateway is not None or others:
        info = session.engine.info()
        facts = replace(facts, start_interval=_knows_start_interval(info.version))
        if stays and stack.config.local.gpu != "none":
            gpu, unsaid = choose(stack.config, project, info, session.names, stack.locate(("local", "gpu")))
            warnings += unsaid
            facts = replace(facts, gpu=gpu)
        if others and not gives_gpu(info, session.names):
            warnings.append(
                f"the engine has no GPU to give: {', '.join(others)} run on the CPU (their own GPU setting is left out)"
            )
            facts = replace(facts, gpu_of_others=False)
    override = render(project, stack.config, target, facts, stack.locate)
    variables = compose_variables(session, stack, target, override, with_secrets=with_secrets)
    if gateway is not None:
        target = replace(target, url=OllamaUrl("http", gateway.part.host, 11434))
    said_all = (*override.warnings, *warnings)
    return Prepared(target, override, variables, said_all, gateway, facts.client_proxies, facts.keep_local)


def proxies_of_client(session: Session) -> dict[str, str]:
    """Proxy variables that the settings of the Docker client put into new containers."""
    home = session.variables.get("HOME")
    place = session.variables.get("DOCKER_CONFIG") or (str(Path(home) / ".docker") if home else "")
    data = session.files.read(Path(place) / "config.json") if place else None
    if data is None or b'"proxies"' not in data:
        return {}
    try:
        settings = json.loads(data)
    except ValueError:
        return {}
    return client_proxies(settings) if isinstance(settings, dict) else {}


def _knows_start_interval(version: str) -> bool:
    """Since Engine 25 (API 1.44); a version that is no number counts as newer."""
    major = version.partition(".")[0]
    return not major.isdigit() or int(major) >= 25


def host_pins(session: Session, target: Target, proven: Mapping[str, str]) -> dict[str, str]:
    """Names that are to be pinned to what the host resolves: ``.local`` ones, and those proven to need it.

    A name of mDNS never resolves in a container (no nss-mdns there), so it is
    pinned without asking.
    """
    url = target.url
    if target.kind != "instance" or url.ip is not None or url.host in target.pins or url.host == HOST_ALIAS:
        return {}
    if not url.host.lower().rstrip(".").endswith(".local") and url.host not in proven:
        return {}
    addresses = session.names.resolve(url.host)
    if not addresses and url.host in proven:
        return {url.host: proven[url.host]}
    if addresses and addresses[0].startswith("127."):
        return {url.host: HOST_GATEWAY}
    return {url.host: addresses[0]} if addresses else {}


def pinned_addresses(session: Session, target: Target) -> dict[str, tuple[str, ...]]:
    """Future ``extra_hosts`` as addresses; ``host-gateway`` is the default bridge's own address."""
    found: dict[str, tuple[str, ...]] = {}
    for host, address in target.pins.items():
        if address == HOST_GATEWAY:
            bridge = session.engine.network("bridge") or {}
            gateways = [c.get("Gateway") for c in (bridge.get("IPAM") or {}).get("Config") or []]
            found[host] = tuple(g for g in gateways if g)[:1]
        else:
            found[host] = (address,)
    return found


def compose_variables(
    session: Session, stack: Stack, target: Target, override: OverrideFile, *, with_secrets: bool
) -> dict[str, str]:
    """What Compose must find in its environment: the token behind ``{token}``, and what templates refer to."""
    named = template_variables(stack)
    variable = override.token_variable
    if variable is None or target.token is None or f"${{{variable}}}" not in override.text:
        return named
    if not with_secrets:
        return {**named, variable: REDACTED}
    value = secret_reader(session, stack)(str(target.token)).reveal()
    session.hide([value])
    return {**named, variable: value}


def template_variables(stack: Stack) -> dict[str, str]:
    """What the templates of consumers refer to, with the values that stackctl sees: Compose is to see the same."""
    names = {name for text in stack.tree.references.values() for name in names_in(text)}
    return {name: stack.variables[name] for name in sorted(names) if name in stack.variables}


def override_tokens(session: Session, stack: Stack, override: str | None, *, with_secrets: bool) -> dict[str, str]:
    """The token variables that ``override``, the text in force, refers to; one that cannot be read is left out.

    Raises :class:`Untrusted` where one waits for a yes: Compose would take it for an empty one. Without
    ``with_secrets`` nothing is read, and a mask stands for each: Compose only wants them to be set.
    """
    found: dict[str, str] = {}
    for name, instance in stack.config.instances.items():
        if instance.auth is None or instance.auth.bearer is None:
            continue
        variable = token_variable(Target("instance", name, instance.url, token=instance.auth.bearer))
        if variable is None or f"${{{variable}}}" not in (override or ""):
            continue
        if not with_secrets:
            found[variable] = REDACTED
            continue
        try:
            value = secret_reader(session, stack)(str(instance.auth.bearer)).reveal()
        except Untrusted:
            raise
        except StackctlError:
            continue
        session.hide([value])
        found[variable] = value
    return found


def compose_environment(
    session: Session, stack: Stack, override: str | None, *, with_secrets: bool = True
) -> dict[str, str]:
    """All that the user's files and ``override`` may refer to, secrets and plain variables."""
    tokens = override_tokens(session, stack, override, with_secrets=with_secrets)
    return {**template_variables(stack), **tokens}


def secret_values(session: Session, stack: Stack) -> list[str]:
    """Every secret of the configuration that can be read without running anything, for redaction."""
    resolve_text = secret_reader(session, stack)
    found: list[str] = []
    for instance in stack.config.instances.values():
        references = [v for v in instance.headers.values() if "${" in v]
        if instance.auth and instance.auth.bearer:
            references.append(str(instance.auth.bearer))
        if instance.auth and instance.auth.basic:
            references.append(str(instance.auth.basic.password))
        for reference in references:
            if "${cmd:" in reference:
                continue
            try:
                found.append(resolve_text(reference).reveal())
            except StackctlError:
                # A secret that cannot be read cannot be printed either.
                continue
    return found
