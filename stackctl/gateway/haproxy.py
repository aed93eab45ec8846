"""The gateway's configuration for HAProxy 2.6 and later, as one text. A pure function.

Three layers in one process. ``front`` takes the consumers' requests and hands
each to a backend by method and by what is healthy; a backend (``reads``,
``any``, ``last-resort``) chooses an instance by the policy; an inner listener
for each instance, on a socket in the container, adds what that instance alone
wants. An instance's health is judged in its inner listener, and the layer
before it follows (``track``). Why each setting is as it is: ``docs/gateway.md``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from stackctl.gateway.credentials import GatewaySecret, header_format, unique
from stackctl.gateway.names import (
    ADMIN_PORT,
    FRONT_PORT,
    INSTANCE_HEADER,
    RETRY_STATUS,
    SOCKETS_DIR,
)
from stackctl.gateway.quoting import literal, quoted
from stackctl.gateway.upstream import Ca, Group, Upstream

PREAMBLE = f"""\
global
    log stdout format raw local0 notice
    maxconn 2000
    nbthread 2
    tune.bufsize 262144
    spread-checks 0

defaults
    mode http
    log global
    option dontlog-normal
    option dontlognull
    option http-server-close
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

frontend admin
    bind 127.0.0.1:{ADMIN_PORT}
    no log
    stats enable
    stats uri /state
"""

_FRONT = f"""\
frontend front
    option httplog
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

_SAFE = "METH_GET or METH_HEAD or METH_OPTIONS"


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
    digest = hashlib.sha256(body.encode()).hexdigest()
    return Rendered(
        text=body.replace("%DIGEST%", digest),
        digest=digest,
        secrets=tuple(unique(s for u in group.all for s in u.secrets)),
        warnings=tuple(_warnings(group)),
    )


def waiting() -> str:
    """What runs until the first configuration arrives: every request is told so."""
    reason = _error("the gateway has no configuration yet; run: stackctl up")
    front = [*_FRONT.splitlines(), f"    http-request return status 503 content-type application/json string {reason}"]
    return "\n".join(["# Waits for stackctl.", PREAMBLE.rstrip(), *_about("none", None), "", *front, ""])


def _sections(group: Group) -> Iterator[list[str]]:
    yield [
        f"# stackctl's gateway, profile {json.dumps(group.profile)}. Written anew at each switch; no secret is in here.",
        *(f"#@{ca.file} {ca.encoded}" for ca in _certificates(group)),
    ]
    yield [PREAMBLE.rstrip("\n"), *_about("%DIGEST%", group)]
    yield _RESOLVERS.splitlines()
    yield list(_front(group))
    yield _RELAY.splitlines()
    if len(group.all) > 1:
        yield list(_backend("reads", group, f"conn-failure empty-response {RETRY_STATUS} 502 503 504"))
        yield list(_backend("any", group, f"conn-failure {RETRY_STATUS}"))
    yield list(_backend("last-resort", group, f"conn-failure {RETRY_STATUS}", judged=False))
    for upstream in group.all:
        yield list(_inner(upstream))


def _certificates(group: Group) -> list[Ca]:
    return list({u.ca.file: u.ca for u in group.all if u.ca}.values())


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
    return [f"    http-request return status 200 content-type application/json lf-string {quoted(text)} if {{ path /about }}"]


def _front(group: Group) -> Iterator[str]:
    yield from _FRONT.splitlines()
    yield f"    http-error status 503 content-type application/json string {_error(_none(group))}"
    yield "    use_backend relay if { stopping }"
    if len(group.all) > 1:
        yield "    use_backend last-resort if { nbsrv(any) eq 0 }"
        yield f"    use_backend reads if {_SAFE}"
        yield "    default_backend any"
    else:
        yield "    default_backend last-resort"


def _none(group: Group) -> str:
    return f"no Ollama of {group.profile} can be reached: tried {', '.join(u.name for u in group.all)}"


def _backend(name: str, group: Group, retry_on: str, *, judged: bool = True) -> Iterator[str]:
    yield f"backend {name}"
    # Where nobody is healthy, a retry must come to each in turn; `first` would go to and fro between two.
    policy = ("leastconn" if group.policy == "least_conn" else "first") if judged else "roundrobin"
    yield f"    balance {policy}"
    # A retry needs the whole request, and a client may send head and body apart.
    yield "    option http-buffer-request"
    yield "    option redispatch 1"
    # An answer is retried one time less than `retries` says. The last resort gives up soon: nobody is healthy.
    yield f"    retries {len(group.all) + 1 if judged else min(2, len(group.all))}"
    yield f"    retry-on {retry_on}"
    yield f"    http-error status 503 content-type application/json string {_error(_none(group))}"
    yield f"    http-response set-status 503 if {{ status {RETRY_STATUS} }}"
    for number, upstream in enumerate(group.all, 1):
        line = f"    server {upstream.slug} unix@{_socket(upstream)} id {number}"
        if judged:
            line += f" track inner.{upstream.slug}/{upstream.slug}"
            if upstream is group.fallback:
                line += " backup"
        yield line


def _inner(u: Upstream) -> Iterator[str]:
    yield f"listen inner.{u.slug}"
    yield f"    bind unix@{_socket(u)}"
    yield "    retries 0"
    yield "    option httplog"
    yield f"    timeout connect {_milliseconds(u.connect_timeout)}"
    yield f"    timeout server {_milliseconds(u.silence)}"
    yield from (f"    http-request {action}" for action in _request_rules(u))
    # The layer before decides who is asked; whoever is asked is tried, whatever the check last said.
    yield "    option persist"
    yield f"    use-server {u.slug} if TRUE"
    # Only what the instance itself said keeps its status. HAProxy's own 503 means that nothing was sent: no
    # connection; so does its 500: no address.
    yield "    http-response set-var(txn.answered) bool(true)"
    yield f"    http-response set-header {INSTANCE_HEADER} {quoted(literal(u.name))}"
    for status, reason in (
        (500, "cannot be found: its name does not resolve"), (502, "broke off before it answered"),
        (503, "cannot be reached"), (504, f"said nothing for {u.silence:g} s"),
    ):
        yield f"    http-error status {status} content-type application/json string {_error(f'{u.name} {reason}')}"
    yield f"    http-after-response set-status {RETRY_STATUS} if {{ status 500 503 }} !{{ var(txn.answered) -m bool }}"
    yield "    option httpchk"
    if u.basic:
        yield f"    http-check set-var-fmt(check.basic) {_user(u.basic)}"
    yield f"    http-check send meth GET uri {quoted(u.health)} ver HTTP/1.1{''.join(_check_headers(u))}"
    yield "    http-check expect status 200-299"
    yield f"    server {u.slug} {_server(u)}"


def _request_rules(u: Upstream) -> Iterator[str]:
    yield f"set-header Host {quoted(literal(u.url.netloc))}"
    for name, value in u.headers.items():
        yield f"set-header {quoted(name)} {quoted(header_format(value))}"
    if u.bearer:
        yield f"set-header Authorization {quoted(f'Bearer {u.bearer.fetch}')}"
    if u.basic:
        yield f"set-var-fmt(txn.basic) {_user(u.basic)}"
        yield "set-header Authorization 'Basic %[var(txn.basic),base64]'"
    if u.paths:
        yield "set-var(txn.path) path"
    if u.url.prefix:
        yield f"set-path {quoted(literal(u.url.prefix) + '%[path]')}"
    for own, path in u.paths.items():
        yield f"set-path {quoted(literal(path))} if {{ var(txn.path) -m str {own} }}"


def _check_headers(u: Upstream) -> Iterator[str]:
    yield f" hdr Host {quoted(literal(u.url.netloc))}"
    for name, value in u.headers.items():
        yield f" hdr {quoted(name)} {quoted(header_format(value))}"
    if u.bearer:
        yield f" hdr Authorization {quoted(f'Bearer {u.bearer.fetch}')}"
    if u.basic:
        yield " hdr Authorization 'Basic %[var(check.basic),base64]'"


def _user(basic: tuple[str, GatewaySecret]) -> str:
    return quoted(f"{literal(basic[0])}:{basic[1].fetch}")


def _server(u: Upstream) -> str:
    host = f"[{u.connect}]" if ":" in u.connect else u.connect
    words = [
        f"{host}:{u.url.port}",
        "check inter 2s fastinter 500ms downinter 1s fall 2 rise 1",
        "observe layer4 error-limit 1 on-error mark-down",
    ]
    if u.by_name:
        words.append(f"resolvers {'hosts' if '.' in u.connect else 'siblings'} resolve-prefer ipv4")
    words.append("init-addr last,libc,none")
    if u.url.scheme == "https":
        words += _tls(u)
    return " ".join(words)


def _tls(u: Upstream) -> Iterator[str]:
    yield "ssl alpn http/1.1"
    if u.tls_name:
        yield f"sni str({u.tls_name}) check-sni {u.tls_name}"
    if not u.verify:
        yield "verify none"
        return
    yield f"verify required ca-file {u.ca.file if u.ca else '@system-ca'}"
    if u.tls_name:
        yield f"verifyhost {u.tls_name}"
    elif not u.unchecked_name:
        yield f"verifyhost {u.server_name or u.url.host}"


def _socket(u: Upstream) -> str:
    return f"{SOCKETS_DIR}/{u.slug}.sock"


def _error(reason: str) -> str:
    """Ollama's own form of an error, as a quoted argument."""
    return quoted(json.dumps({"error": f"stackctl gateway: {reason}"}))


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


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
