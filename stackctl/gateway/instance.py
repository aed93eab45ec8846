"""The backend of one instance: its address, TLS, credentials, headers, paths, timeouts and health check."""

from __future__ import annotations

from collections.abc import Iterator

from stackctl.config.url import host_port
from stackctl.gateway.credentials import GatewaySecret, header_format
from stackctl.gateway.names import INSTANCE_HEADER
from stackctl.gateway.quoting import error_body, literal, quoted
from stackctl.gateway.upstream import Group, Upstream

_CHECK = "check inter 2s fastinter 500ms downinter 1s fall 2 rise 1"


def backend_name(u: Upstream) -> str:
    """The name of an instance's backend."""
    return f"inner.{u.slug}"


def server_name(u: Upstream) -> str:
    """The name of an instance's server, with its backend: what the policy asks the health of."""
    return f"{backend_name(u)}/{u.slug}"


def backend(u: Upstream, group: Group) -> Iterator[str]:
    """The lines of the backend."""
    yield f"backend {backend_name(u)}"
    yield f"    timeout connect {_milliseconds(u.connect_timeout)}"
    yield f"    timeout server {_milliseconds(u.silence)}"
    if group.choice:
        yield from _retries()
    else:
        yield "    retries 0"
    yield from (f"    http-request {action}" for action in _request_rules(u))
    # The frontend has chosen this server: try it even where its last health check failed.
    yield "    option persist"
    yield f"    use-server {u.slug} if TRUE"
    yield f"    http-response set-header {INSTANCE_HEADER} {quoted(literal(u.name))} if {{ srv_id 1 }}"
    yield from _errors(u)
    yield from _check(u)
    yield f"    server {u.slug} {_server(u)} id 1"
    if group.choice:
        for number in (1, 2):
            yield f"    server another:{number} unix@{u.socket} id {number + 1}"


def _retries() -> Iterator[str]:
    yield "    balance roundrobin"
    # HAProxy retries on another server at once only where there are two more; otherwise it waits a second first.
    yield "    option redispatch 1"
    yield "    retries 2"
    # Where no connection was made, nothing was sent, so any request may be retried; after that, only one that changes
    # nothing on the server.
    yield "    retry-on conn-failure empty-response response-timeout 502 503 504"
    yield "    http-request disable-l7-retry unless METH_GET or METH_HEAD or METH_OPTIONS"


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


def undo_rules(u: Upstream) -> Iterator[str]:
    """The ``http-request`` actions that undo this instance's own rules, for the next instance to be tried.

    Its headers are deleted: they may hold its credentials.
    """
    for name in (*u.headers, *(["Authorization"] if u.bearer or u.basic else [])):
        yield f"del-header {quoted(name)}"
    if u.paths:
        yield "set-var(txn.path) path"
    if u.url.prefix:
        yield f"set-path %[path,bytes({len(u.url.prefix)})] if {{ path_beg {quoted(u.url.prefix + '/')} }}"
    for own, path in u.paths.items():
        yield f"set-path {own} if {{ var(txn.path) -m str {quoted(path)} }}"


def _errors(u: Upstream) -> Iterator[str]:
    # A 500 without the instance's header is HAProxy's own: it has no address to connect to.
    yield f"    http-after-response set-status 503 if {{ status 500 }} !{{ res.hdr({INSTANCE_HEADER}) -m found }}"
    for status, reason in (
        (500, "cannot be found: its name does not resolve"),
        (502, "broke off before it answered"),
        (503, "cannot be reached"),
        (504, f"said nothing for {u.silence:g} s"),
    ):
        yield f"    http-error status {status} content-type application/json string {error_body(f'{u.name} {reason}')}"


def _check(u: Upstream) -> Iterator[str]:
    yield "    option httpchk"
    if u.basic:
        yield f"    http-check set-var-fmt(check.basic) {_user(u.basic)}"
    words = [f"hdr Host {quoted(literal(u.url.netloc))}"]
    words += [f"hdr {quoted(name)} {quoted(header_format(value))}" for name, value in u.headers.items()]
    if u.bearer:
        words.append(f"hdr Authorization {quoted(f'Bearer {u.bearer.fetch}')}")
    if u.basic:
        words.append("hdr Authorization 'Basic %[var(check.basic),base64]'")
    yield f"    http-check send meth GET uri {quoted(u.health)} ver HTTP/1.1 {' '.join(words)}"
    yield "    http-check expect status 200-299"


def _user(basic: tuple[str, GatewaySecret]) -> str:
    return quoted(f"{literal(basic[0])}:{basic[1].fetch}")


def _server(u: Upstream) -> str:
    words = [host_port(u.connect, u.url.port), _CHECK, "observe layer4 error-limit 1 on-error mark-down"]
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


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
