"""An Ollama as the gateway reaches it: where to connect, which headers to add, which paths it has."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from stackctl.config.models import Instance, StackConfig
from stackctl.config.target import HOST_GATEWAY, Target
from stackctl.config.url import HOST_ALIAS, OllamaUrl
from stackctl.errors import UsageError
from stackctl.gateway.credentials import GatewaySecret, instance_secrets
from stackctl.gateway.names import LOCAL_ALIAS, SOCKETS_DIR

LOCAL_URL = OllamaUrl("http", LOCAL_ALIAS, 11434)
SILENCE = 600.0
CONNECT = 2.0

# Ollama's own paths of the endpoints that an instance may have elsewhere (routes of server/routes.go).
OWN_PATHS = {
    "chat": "/api/chat",
    "generate": "/api/generate",
    "list_models": "/api/tags",
    "version": "/api/version",
}


@dataclass(frozen=True)
class Ca:
    """The certificates that an instance's chain must end in, as PEM text."""

    pem: str

    @property
    def file(self) -> str:
        """A name by content, so that a running configuration never sees its file change."""
        return f"ca-{hashlib.sha256(self.pem.encode()).hexdigest()[:16]}.pem"

    @property
    def encoded(self) -> str:
        """The PEM text on one line."""
        return base64.b64encode(self.pem.encode()).decode()


@dataclass(frozen=True)
class Upstream:
    """One instance behind the gateway.

    ``name`` is the user's, ``slug`` is safe in HAProxy's names. ``connect`` is
    the host to connect to (``host:port`` with ``url.port``), ``url`` what the
    instance itself is told (``Host``, prefix). ``paths`` maps Ollama's paths to
    the instance's own, prefix included; ``silence`` and ``connect_timeout`` are
    seconds.
    """

    name: str
    slug: str
    url: OllamaUrl
    connect: str
    health: str
    paths: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    bearer: GatewaySecret | None = None
    basic: tuple[str, GatewaySecret] | None = None
    verify: bool = True
    ca: Ca | None = None
    server_name: str | None = None
    silence: float = SILENCE
    connect_timeout: float = CONNECT
    secrets: tuple[GatewaySecret, ...] = ()

    @property
    def socket(self) -> str:
        """The socket in the gateway's container on which HAProxy sends a request on that this instance did not take."""
        return f"{SOCKETS_DIR}/not-{self.slug}.sock"

    @property
    def by_name(self) -> bool:
        """Whether the address comes from DNS and may change."""
        return not _is_ip(self.connect) and self.connect != HOST_ALIAS

    @property
    def tls_name(self) -> str | None:
        """The DNS name to ask for and to check the certificate against; None for an address."""
        name = self.server_name or self.url.host
        return None if _is_ip(name) else name

    @property
    def unchecked_name(self) -> bool:
        """Whether the chain is checked but no name: HAProxy knows no addresses in certificates."""
        return self.url.scheme == "https" and self.verify and self.tls_name is None and self.ca is not None


@dataclass(frozen=True)
class Group:
    """The instances behind the gateway: members, best first, and the fallback that serves when none of them can."""

    profile: str
    policy: str
    members: tuple[Upstream, ...]
    fallback: Upstream | None = None

    @property
    def all(self) -> tuple[Upstream, ...]:
        """Members and fallback."""
        return (*self.members, self.fallback) if self.fallback else self.members

    @property
    def choice(self) -> bool:
        """Whether there is more than one."""
        return len(self.all) > 1


def group(
    config: StackConfig, target: Target, *, local: OllamaUrl = LOCAL_URL, ca: Mapping[str, str] | None = None
) -> Group:
    """The group for a target.

    ``local`` is where the stack's own Ollama answers inside the gateway's
    networks; ``ca`` maps an instance's name to the PEM text of its ``ca_file``.
    Raises :class:`UsageError` for a member that is neither ``local``, an instance
    nor a URL, and for an instance whose ``ca_file`` was not given.
    """

    def one(name: str) -> Upstream:
        return _local(local) if name == "local" else _remote(name, _instance(config, name), (ca or {}).get(name))

    profile = config.profiles.get(target.name)
    names = [n for n in target.instances if n != target.fallback] or list(target.instances)
    fallback = target.fallback if target.fallback and target.fallback not in names else None
    if fallback in config.instances and not config.instances[fallback].enabled:
        fallback = None
    return Group(
        profile=target.name,
        policy=profile.policy if profile else "priority",
        members=tuple(one(n) for n in names),
        fallback=one(fallback) if fallback else None,
    )


def _instance(config: StackConfig, name: str) -> Instance:
    if name in config.instances:
        return config.instances[name]
    try:
        return Instance.model_validate({"url": name})
    except ValueError:
        raise UsageError(f'no instance "{name}"') from None


def _local(url: OllamaUrl) -> Upstream:
    return Upstream("local", "local", url, url.host, "/api/version")


def _remote(name: str, instance: Instance, pem: str | None) -> Upstream:
    url = instance.url.with_host(HOST_ALIAS) if instance.url.is_loopback else instance.url
    connect = url.host
    if url.ip is None and instance.address:
        connect = HOST_ALIAS if instance.address == HOST_GATEWAY else instance.address
    if instance.tls.ca_file and url.scheme == "https" and instance.tls.verify and pem is None:
        raise UsageError(f"the ca_file of {name} was not read", hint=f"instances.{name}.tls.ca_file")
    own = instance.endpoints
    paths = {OWN_PATHS[key]: url.prefix + path for key in OWN_PATHS if (path := getattr(own, key)) is not None}
    # The model's default of 60 s is for a question; a model that loads is silent for minutes,
    # so only a time that the user wrote cuts a request short.
    silence = instance.timeout if "timeout" in instance.model_fields_set else SILENCE
    auth = instance.auth
    return Upstream(
        name=name,
        slug=name if re.fullmatch(r"[A-Za-z0-9_.-]+", name) else f"url-{hashlib.sha256(name.encode()).hexdigest()[:8]}",
        url=url,
        connect=connect,
        health=url.prefix + (own.health or own.version or "/api/version"),
        paths=paths,
        headers=dict(instance.headers),
        bearer=GatewaySecret.of(auth.bearer) if auth and auth.bearer else None,
        basic=(auth.basic.user, GatewaySecret.of(auth.basic.password)) if auth and auth.basic else None,
        verify=instance.tls.verify,
        ca=Ca(pem) if pem is not None and url.scheme == "https" and instance.tls.verify else None,
        server_name=instance.tls.server_name,
        silence=silence,
        connect_timeout=min(CONNECT, silence),
        secrets=tuple(instance_secrets(instance)),
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
