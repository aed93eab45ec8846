"""Sockets inside the container on which a request that could not be handed over comes in again."""

from __future__ import annotations

from stackctl.gateway.names import SOCKETS_DIR
from stackctl.gateway.upstream import Upstream


def socket_of(u: Upstream) -> str:
    """The socket for requests that ``u`` could not take."""
    return f"{SOCKETS_DIR}/not-{u.slug}.sock"
