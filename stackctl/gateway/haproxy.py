"""The gateway's configuration for HAProxy 2.6 and later, as one text. A pure function.

``front`` takes the consumers' requests and leads each to the backend of one
instance, chosen by policy and health (:mod:`stackctl.gateway.choice`); that
backend adds what this instance alone wants (:mod:`stackctl.gateway.instance`).
Where it cannot connect, nothing was sent, and HAProxy hands the request to
``again``, a frontend on sockets in the container that chooses among those not
yet tried. Why each setting is as it is: ``docs/gateway.md``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from stackctl.gateway import choice, instance
from stackctl.gateway.credentials import GatewaySecret, unique
from stackctl.gateway.names import ADMIN_PORT, FRONT_PORT
from stackctl.gateway.quoting import error_body, literal, quoted
from stackctl.gateway.upstream import Group

PREAMBLE = """\
global
    log stdout format raw local0 notice
    maxconn 2000
    nbthread 2
    tune.bufsize 65536
    spread-checks 0

defaults
    mode http
    log global
    option dontlog-normal
    option dontlognull
    option http-server-close
    option abortonclose
    option http-no-delay
    option idle-close-on-response
    option clitcpka
    clitcpka-idle 60s
    option srvtcpka
    srvtcpka-idle 15s
    srvtcpka-intvl 5s
    srvtcpka-cnt 3
    http-reuse never
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout queue 10s
    timeout check 3s
    timeout http-request 60s
    timeout http-keep-alive 5m
"""

_ADMIN = f"""\
frontend admin
    bind 127.0.0.1:{ADMIN_PORT}
    no log
    stats enable
    stats uri /state
"""

_WAITING = """\
# Waits for stackctl.
defaults
    mode http
    timeout connect 2s
    timeout client 1m
    timeout server 1m
"""

_FRONT = f"""\
frontend front
    .if defined(STACKCTL_GATEWAY_IPV6)
    bind :::{FRONT_PORT} v4v6
    .else
    bind :{FRONT_PORT}
    .endif
"""

_RELAY = f"""\
# A worker that is being replaced serves one last request on a connection that its client keeps open:
# that request goes to the worker that has replaced it.
backend relay
    retries 3
    server successor 127.0.0.1:{FRONT_PORT}
"""

_RESOLVERS = """\
# A container's name that Docker no longer knows must not keep its address: another container may get it.
resolvers siblings
    parse-resolv-conf
    accepted_payload_size 8192
    resolve_retries 2
    timeout resolve 1s
    timeout retry 1s
    hold valid 1s
    hold nx 2s
    hold obsolete 2s
    hold other 10s
    hold refused 10s
    hold timeout 10s

# A host's name keeps its last address while its DNS is away: whether it still answers is for the health check to say.
resolvers hosts
    parse-resolv-conf
    accepted_payload_size 8192
    resolve_retries 2
    timeout resolve 5s
    timeout retry 1s
    hold valid 10s
    hold nx 24h
    hold obsolete 24h
    hold other 24h
    hold refused 24h
    hold timeout 24h
"""


@dataclass(frozen=True)
class Rendered:
    """A configuration. ``text`` holds all of it, certificates included, and no secret.

    ``digest`` identifies it; a gateway that runs it says so. ``secrets`` are
    those it uses, ``warnings`` are for the user.
    """

    text: str
    digest: str
    secrets: tuple[GatewaySecret, ...]
    warnings: tuple[str, ...] = ()


def render(group: Group) -> Rendered:
    """The configuration for a group; the same group gives the same bytes.

    Raises ``ValueError`` for a value that no HTTP header or path can hold.
    """
    body = "\n".join("\n".join(block).rstrip("\n") + "\n" for block in _sections(group))
    digest = hashlib.sha256(body.encode()).hexdigest()  # the gateway computes it too, before it takes the text
    return Rendered(
        text=body.replace("%DIGEST%", digest),
        digest=digest,
        secrets=tuple(unique(s for u in group.all for s in u.secrets)),
        warnings=tuple(_warnings(group)),
    )


def waiting() -> str:
    """What runs until the first configuration arrives: every request is told so."""
    reason = error_body("the gateway has no configuration yet; run: stackctl up")
    answer = f"    http-request return status 503 content-type application/json string {reason}"
    blocks = [_WAITING.splitlines(), [*_ADMIN.splitlines(), *_about("none", None)], [*_FRONT.splitlines(), answer]]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _sections(group: Group) -> Iterator[list[str]]:
    yield [
        f"# stackctl's gateway, profile {json.dumps(group.profile)}; written anew at each switch, without any secret.",
        *{u.ca.file: f"#@{u.ca.file} {u.ca.encoded}" for u in group.all if u.ca}.values(),
    ]
    yield PREAMBLE.splitlines()
    yield [*_ADMIN.splitlines(), *_about("%DIGEST%", group)]
    yield _RESOLVERS.splitlines()
    yield [*_FRONT.splitlines(), "    option httplog", *choice.front(group)]
    yield _RELAY.splitlines()
    if group.choice:
        yield list(choice.again(group))
        yield list(choice.nobody(group))
    for upstream in group.all:
        yield list(instance.backend(upstream, group))


def _about(digest: str, group: Group | None) -> list[str]:
    about = {
        "digest": digest,
        "profile": group.profile if group else None,
        "policy": group.policy if group else None,
        "members": [{"name": u.name, "slug": u.slug} for u in group.members] if group else [],
        "fallback": {"name": group.fallback.name, "slug": group.fallback.slug} if group and group.fallback else None,
    }
    text = literal(json.dumps(about)).replace("%%DIGEST%%", "%DIGEST%")
    text = text[:-1] + ', "worker": %pid}'
    answer = f"return status 200 content-type application/json lf-string {quoted(text)}"
    return [f"    http-request {answer} if {{ path /about }}"]


def _warnings(group: Group) -> Iterator[str]:
    for u in group.all:
        if u.unchecked_name:
            yield (
                f"{u.name} is an address, and HAProxy checks no addresses in certificates: its chain is checked against"
                f" your ca_file, its name at each switch only; set instances.{u.name}.tls.server_name to a name in it"
            )
        elif u.url.scheme == "https" and u.verify and u.tls_name is None:
            yield (
                f"{u.name} is an address, and HAProxy checks no addresses in certificates: the gateway will refuse it"
                f" unless instances.{u.name}.tls.server_name is a name in its certificate"
            )
