"""The probe plan: what to try from one vantage point, as a value. Nothing here is done.

A plan is small on purpose: resolve names, connect to addresses, shake hands,
send prepared requests and bring back bounded raw bytes. Everything that needs
judgement happens on this side, in :mod:`stackctl.diagnose.answers` and after.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stackctl.config.url import OllamaUrl

CONNECT_TIMEOUT = 4.0
"""Seconds. Longer than the 3.05 s after which Linux gives up on ARP, so that EHOSTUNREACH is seen as itself."""
RESOLVE_TIMEOUT = 5.0
"""Seconds. A resolver that has not answered by then is called silent (glibc itself gives up after 8 s or more)."""
ASK_TIMEOUT = 3.0
ASK_LIMIT = 262_144
"""Bytes of one answer that are kept; `/api/tags` of a thousand models fits."""
LARGE = 6_000
"""Bytes of the request that tells a path with a small MTU: more than four Ethernet frames."""

FILES = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/proc/net/route",
    "/proc/net/ipv6_route",
    "/proc/net/tcp",
    "/proc/net/tcp6",
    "/proc/net/dev",
    "/proc/sys/net/ipv4/ip_forward",
    "/sys/fs/cgroup/pids.max",
    "/sys/fs/cgroup/pids.current",
    "/sys/fs/cgroup/pids/pids.max",
    "/sys/fs/cgroup/pids/pids.current",
    "/sys/class/net/eth0/mtu",
)
"""What each vantage point reads besides, where it is there."""


@dataclass(frozen=True)
class Ask:
    """One HTTP request. ``host`` overrides the Host header; ``proxy`` is ``(host, port)`` to send it through.

    ``timeout`` is in seconds over the whole exchange, ``limit`` in bytes of the answer.
    """

    id: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    host: str = ""
    proxy: tuple[str, int] | None = None
    timeout: float = ASK_TIMEOUT
    limit: int = ASK_LIMIT
    everywhere: bool = False
    """Ask each address that accepts, not only the first: tells two servers behind one name."""


@dataclass(frozen=True)
class Aim:
    """One URL, as the consumer is told it.

    ``addresses`` replaces name resolution (for a target that is not applied
    yet). ``trust`` is PEM text of further CAs, ``server_name`` what the
    certificate is to be valid for, ``verify`` false takes any certificate.
    """

    id: str
    url: OllamaUrl
    asks: tuple[Ask, ...] = ()
    addresses: tuple[str, ...] = ()
    verify: bool = True
    trust: str = field(default="", repr=False)
    trust_only: bool = False
    server_name: str = ""


@dataclass(frozen=True)
class ProbePlan:
    """Everything to try from one vantage point, in one process.

    ``names`` are resolved for comparison, ``connects`` are bare TCP tries,
    ``paths`` are directories whose free space is asked for. ``budget`` is the
    wall time in seconds after which the probe ends with what it has.
    """

    aims: tuple[Aim, ...]
    names: tuple[str, ...] = ()
    connects: tuple[tuple[str, int], ...] = ()
    paths: tuple[str, ...] = ()
    facts: bool = True
    connect_timeout: float = CONNECT_TIMEOUT
    resolve_timeout: float = RESOLVE_TIMEOUT
    budget: float = 11.0

    @property
    def needs_tls(self) -> bool:
        """Whether any aim is https."""
        return any(aim.url.scheme == "https" for aim in self.aims)


def ladder(
    url: OllamaUrl,
    *,
    aim: str = "0",
    headers: Mapping[str, str] | None = None,
    models: Sequence[str] = (),
    addresses: Sequence[str] = (),
    trust: str = "",
    server_name: str = "",
    verify: bool = True,
    paths: Mapping[str, str] | None = None,
) -> Aim:
    """The usual aim for one URL: root, version, tags, a large request, and each model by name.

    ``headers`` hold credentials: they travel by standard input only.
    ``paths`` replaces ``version`` and ``list_models`` below the prefix.
    """
    own = dict(headers or {})
    prefix = url.prefix
    routes = {"version": "/api/version", "list_models": "/api/tags", **(paths or {})}
    asks = [
        Ask("root", "GET", f"{prefix}/", own, timeout=2.0, limit=65_536),
        Ask("version", "GET", prefix + routes["version"], own, limit=16_384, everywhere=True),
        Ask("tags", "GET", prefix + routes["list_models"], own, everywhere=True, limit=1_048_576),
        Ask(
            "large", "POST", f"{prefix}/api/show", own, body=_json({"model": "stackctl-probe", "padding": "x" * LARGE})
        ),
    ]
    asks += [Ask(f"show:{name}", "POST", f"{prefix}/api/show", own, body=_json({"model": name})) for name in models[:4]]
    return Aim(aim, url, tuple(asks), tuple(addresses), verify=verify, trust=trust, server_name=server_name)


def generate(aim: Aim, model: str, *, seconds: float, headers: Mapping[str, str] | None = None) -> Aim:
    """The same aim with one streamed token asked for, then what is loaded: for ``--deep``."""
    body = _json({"model": model, "prompt": "Say one word.", "stream": True, "options": {"num_predict": 8}})
    own, prefix = dict(headers or {}), aim.url.prefix
    return replace(
        aim,
        asks=(
            *aim.asks,
            Ask("generate", "POST", f"{prefix}/api/generate", own, body=body, timeout=seconds),
            Ask("ps", "GET", f"{prefix}/api/ps", own),
        ),
    )


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def request_bytes(aim: Aim, ask: Ask) -> bytes:
    """The request as it goes over the wire. Through a proxy a plain one carries the absolute URL."""
    target = ask.path
    if ask.proxy and aim.url.scheme == "http":
        target = f"http://{aim.url.netloc}{ask.path}"
    lines = [f"{ask.method} {target} HTTP/1.1", f"Host: {ask.host or aim.url.netloc}"]
    present = {name.lower() for name in ask.headers}
    lines += [f"{name}: {value}" for name, value in ask.headers.items()]
    if "user-agent" not in present:
        lines.append("User-Agent: stackctl-probe")
    lines += ["Accept: application/json, */*", "Connection: close"]
    if ask.body or ask.method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(ask.body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + ask.body


def as_document(plan: ProbePlan) -> dict[str, Any]:
    """The plan as the JSON document that the Python and Node probes read; requests in latin-1."""
    return {
        "facts": plan.facts,
        "files": list(FILES),
        "names": list(plan.names),
        "connects": [list(c) for c in plan.connects],
        "paths": list(plan.paths),
        "budget": plan.budget,
        "connect_timeout": plan.connect_timeout,
        "resolve_timeout": plan.resolve_timeout,
        "aims": [
            {
                "id": aim.id,
                "tls": aim.url.scheme == "https",
                "host": aim.url.host,
                "port": aim.url.port,
                "addresses": list(aim.addresses),
                "verify": aim.verify,
                "trust": aim.trust,
                "trust_only": aim.trust_only,
                "server_name": aim.server_name or aim.url.host,
                "asks": [
                    {
                        "id": ask.id,
                        "request": request_bytes(aim, ask).decode("latin-1"),
                        "proxy": list(ask.proxy) if ask.proxy else None,
                        "timeout": ask.timeout,
                        "limit": ask.limit,
                        "everywhere": ask.everywhere,
                    }
                    for ask in aim.asks
                ],
            }
            for aim in plan.aims
        ],
    }
