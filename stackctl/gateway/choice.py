"""Which instance serves a request: the profile's policy over the healthy ones, as rules of HAProxy's frontends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stackctl.gateway.instance import backend_name, server_name, undo_rules
from stackctl.gateway.names import TRIED_HEADER
from stackctl.gateway.quoting import error_body
from stackctl.gateway.upstream import Group, Upstream


def front(group: Group) -> Iterator[str]:
    """The rules of the frontend ``front``, to which consumers connect."""
    if not group.choice:
        yield "    use_backend relay if { stopping }"
        yield f"    default_backend {backend_name(group.members[0])}"
        return
    # Only the frontend ``again`` may set this header, never a client.
    yield f"    http-request del-header {TRIED_HEADER}"
    yield from _policy(group, relay=True)


def again(group: Group) -> Iterator[str]:
    """The frontend for requests that an instance could not take; it tells which one by the socket they arrive on."""
    yield "frontend again"
    for number, u in enumerate(group.all, 1):
        yield f"    bind unix@{u.socket} id {number}"
    for number, u in enumerate(group.all, 1):
        yield f"    http-request add-header {TRIED_HEADER} {u.slug} if {{ so_id {number} }}"
        for action in undo_rules(u):
            rule, _, condition = action.partition(" if ")
            yield f"    http-request {rule} if {{ so_id {number} }} {condition}".rstrip()
    yield from _policy(group)


def nobody(group: Group) -> Iterator[str]:
    """The backend that answers 503 where every instance was tried and none could be reached."""
    tried = ", ".join(u.name for u in group.all)
    reason = error_body(f"no Ollama of {group.profile} can be reached; tried: {tried}")
    yield "backend nobody"
    yield f"    http-request return status 503 content-type application/json string {reason}"


def _policy(group: Group, *, relay: bool = False) -> Iterator[str]:
    """The rules that choose a backend; ``relay`` is True in ``front``, where nothing was tried yet.

    There a worker that is being replaced hands new requests to its successor.
    """

    def usable(u: Upstream) -> str:
        return f"{{ srv_is_up({server_name(u)}) }}{'' if relay else ' ' + _untried(u)}"

    if group.policy == "least_conn":
        yield from _least_connections(group.members, usable)
    if relay:
        yield "    use_backend relay if { stopping }"
    if group.policy == "least_conn":
        yield "    use_backend %[var(txn.to)] if { var(txn.to) -m found }"
    else:
        yield from (f"    use_backend {backend_name(u)} if {usable(u)}" for u in group.members)
    if group.fallback:
        yield f"    use_backend {backend_name(group.fallback)} if {usable(group.fallback)}"
    # No instance is healthy: try one all the same, since the health check itself may be wrong.
    if relay:
        yield f"    default_backend {backend_name(group.members[0])}"
    else:
        yield from (f"    use_backend {backend_name(u)} if {_untried(u)}" for u in group.all)
        yield "    default_backend nobody"


def _least_connections(members: Sequence[Upstream], usable: Callable[[Upstream], str]) -> Iterator[str]:
    """Set ``txn.to`` to the healthy member with the fewest connections; of equals, to the first."""
    for u in members:
        yield f"    http-request set-var(txn.load) srv_conn({server_name(u)})"
        yield "    http-request set-var(txn.fewer) int(0)"
        yield (
            f"    http-request set-var(txn.fewer) int(1) if {usable(u)} !{{ var(txn.to) -m found }}"
            f" or {usable(u)} {{ var(txn.load),sub(txn.least) lt 0 }}"
        )
        yield f"    http-request set-var(txn.to) str({backend_name(u)}) if {{ var(txn.fewer) -m int 1 }}"
        yield "    http-request set-var(txn.least) var(txn.load) if { var(txn.fewer) -m int 1 }"


def _untried(u: Upstream) -> str:
    return f"!{{ req.hdr({TRIED_HEADER}) -m str {u.slug} }}"
