"""Resolves a profile name or a URL to the Ollama that the configuration means by it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from stackctl.config.models import Instance, StackConfig
from stackctl.config.secrets import SecretRef
from stackctl.config.url import HOST_ALIAS, OllamaUrl, UrlError, without_credentials
from stackctl.errors import UsageError

GATEWAY_SERVICE = "stackctl-gateway"
HOST_GATEWAY = "host-gateway"


@dataclass(frozen=True)
class Target:
    """One Ollama, as the consumers are to be told.

    ``name`` is the profile's name, or the URL itself for one that the file does
    not know. ``url`` is what consumers on a bridge network are told.
    ``instances`` are the members behind it, best first (empty for ``local``).
    ``pins`` are names that containers are to resolve to an address or to
    ``host-gateway``. ``notes`` is what the user must be told about the choice.
    """

    kind: Literal["local", "instance", "gateway"]
    name: str
    url: OllamaUrl
    models: tuple[str, ...] = ()
    token: SecretRef | None = None
    instances: tuple[str, ...] = ()
    fallback: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether the Ollama container of this stack is to run."""
        return self.kind == "local" or "local" in self.instances

    @property
    def needs_local(self) -> bool:
        """Whether the Ollama container is to run, to serve now or as the fallback behind the gateway."""
        return self.is_local or (self.kind == "gateway" and self.fallback == "local")

    @property
    def model(self) -> str | None:
        """The model that ``{model}`` stands for, or None where the file names none."""
        return self.models[0] if self.models else None

    def with_pins(self, pins: Mapping[str, str]) -> Target:
        """The same target with further pinned names."""
        return replace(self, pins={**self.pins, **pins})


def profile_names(config: StackConfig) -> list[str]:
    """Every name that ``up`` and ``switch`` understand, ``local`` first."""
    return ["local", *config.instances, *config.profiles]


def default_profile(config: StackConfig, *, has_local: bool) -> str:
    """What ``up`` means without a name and without a last verified target.

    What the file says is the ``default``; else ``local`` where the project or
    the file speaks of a local Ollama, or where there is nothing else;
    otherwise the enabled instance of the best priority.
    """
    if config.default:
        return config.default
    if has_local or "local" in config.model_fields_set:
        return "local"
    enabled = [name for name, instance in config.instances.items() if instance.enabled]
    return min(enabled, key=lambda name: config.instances[name].priority, default="local")


def resolve(config: StackConfig, name: str, *, without: Collection[str] = ()) -> Target:
    """The target for a profile name or a URL.

    ``without`` are members of the profile that proved unfit: without a gateway
    consumers are told the best of the others, at last the ``fallback``.
    Raises :class:`UsageError` for an unknown name, a disabled instance, or a
    URL that is no base URL of an Ollama.
    """
    if "://" in name or name.startswith("/") or "@" in name:
        return _from_url(config, name)
    if name == "local":
        return _gated(config, name, ("local",), None) if config.gateway else _local(config)
    if name in config.instances:
        _enabled(config, name)
        if config.gateway:
            return _gated(config, name, (name,), None)
        return _external(name, config.instances[name], config)
    if name in config.profiles:
        return _profile(config, name, without)
    close = difflib.get_close_matches(name, profile_names(config), n=1, cutoff=0.5)
    looks_like_host = "." in name or ":" in name
    hint = (
        f"for a server without an entry, write its URL: {_as_url(name)}"
        if looks_like_host
        else f"did you mean `{close[0]}`?"
        if close
        else f"known: {', '.join(profile_names(config))}"
    )
    raise UsageError(f'no profile "{name}"', hint=hint)


def _as_url(host: str) -> str:
    """The URL that a bare host is corrected to."""
    try:
        return str(OllamaUrl.parse(host))
    except UrlError as error:
        return error.corrected or "http://HOST:PORT"


def _from_url(config: StackConfig, text: str) -> Target:
    try:
        url = OllamaUrl.parse(text)
    except UrlError as error:
        hint = f"write {error.corrected}" if error.corrected else ""
        raise UsageError(f"{without_credentials(text)}: {error.message}", hint=hint) from None
    for name, instance in config.instances.items():
        if instance.url == url and instance.enabled:
            return resolve(config, name)
    if config.gateway:
        return _gated(config, text, (str(url),), None)
    return _external(text, Instance(url=text), config)  # type: ignore[arg-type]  # pydantic parses the text


def _enabled(config: StackConfig, name: str) -> None:
    if not config.instances[name].enabled:
        raise UsageError(f'the instance "{name}" is disabled', hint=f"set `enabled: true` under instances.{name}")


def _local(config: StackConfig) -> Target:
    models = config.local.models if config.local.models is not None else config.models
    return Target("local", "local", OllamaUrl("http", config.local.service, 11434), tuple(models))


def _external(name: str, instance: Instance, config: StackConfig) -> Target:
    url, notes = instance.url, []
    pins: dict[str, str] = {}
    if url.is_loopback:
        told = url.with_host(HOST_ALIAS)
        notes.append(f"{url} means the Docker host, so consumers are told {told}")
        url = told
    if url.host == HOST_ALIAS:
        pins[HOST_ALIAS] = HOST_GATEWAY
    if instance.address and url.ip is None:
        pins[url.host] = instance.address
    if extras := _not_told(instance):
        notes.append(
            f"consumers are told the address of {name} only, and not of {', '.join(extras)} "
            "(behind `gateway: true` they need not know)"
        )
    models = instance.models if instance.models is not None else config.models
    token = instance.auth.bearer if instance.auth else None
    return Target("instance", name, url, tuple(models), token, (name,), None, pins, tuple(notes))


def _not_told(instance: Instance) -> list[str]:
    """Settings of an instance that no variable of a consumer carries."""
    paths = [value for value in instance.endpoints.model_dump().values() if value]
    settings = {
        "its headers": instance.headers, "its CA": instance.tls.ca_file, "tls.server_name": instance.tls.server_name,
        "tls.verify: false": not instance.tls.verify, "its own paths": paths,
    }  # fmt: skip
    return [words for words, there in settings.items() if there]


def _profile(config: StackConfig, name: str, without: Collection[str]) -> Target:
    profile = config.profiles[name]
    members = [m for m in profile.use if m == "local" or config.instances[m].enabled]
    if not members:
        raise UsageError(f'every instance of the profile "{name}" is disabled', hint="enable one under `instances`")
    if config.gateway:
        return _gated(config, name, tuple(members), profile.fallback)
    told = next(iter(further(config, name, without)), members[0])
    target = _local(config) if told == "local" else _external(told, config.instances[told], config)
    others = [m for m in members if m != told]
    note = f"consumers are told {told} only; {', '.join(others)} would take over by itself behind `gateway: true`"
    notes = (*target.notes, note) if others else target.notes
    return replace(target, name=name, fallback=profile.fallback, notes=notes)


def further(config: StackConfig, name: str, without: Collection[str]) -> list[str]:
    """Members of a profile that are left once ``without`` proved unfit: best first, the fallback last."""
    if name not in config.profiles:
        return []
    profile = config.profiles[name]
    members = _ranked(config, [m for m in profile.use if m == "local" or config.instances[m].enabled])
    last = profile.fallback
    if last and last not in members and (last == "local" or config.instances[last].enabled):
        members.append(last)
    return [m for m in members if m not in without]


def passed_over(config: StackConfig, name: str, url: str) -> list[str]:
    """Members of a profile that rank before the one with that address, where consumers are told this one instead."""
    members = further(config, name, ())
    for number in range(len(members)):
        if str(resolve(config, name, without=members[:number]).url) == url:
            return members[:number]
    return []


def _ranked(config: StackConfig, members: Sequence[str]) -> list[str]:
    return sorted(members, key=lambda m: config.instances[m].priority if m in config.instances else 11)


def _gated(config: StackConfig, name: str, members: tuple[str, ...], fallback: str | None) -> Target:
    """Behind the gateway: consumers are told its address for good, the members are its upstreams."""
    ranked = _ranked(config, members)
    best = ranked[0]
    known = config.local if best == "local" else config.instances.get(best)
    own = known.models if known else None
    return Target(
        "gateway",
        name,
        OllamaUrl("http", GATEWAY_SERVICE, 11434),
        tuple(own if own is not None else config.models),
        None,
        tuple(ranked),
        fallback,
    )
