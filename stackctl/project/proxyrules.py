"""Which proxy a runtime would use for a URL, by its own dialect of ``NO_PROXY``.

Measured with curl 7.88, Python 3.11's urllib and Node's usual packages: curl
takes CIDR for addresses and ignores upper-case ``HTTP_PROXY``; urllib (and so
requests) knows neither CIDR nor globs; none takes ``host:port`` written as in
the list, except Node's proxy-from-env and Go.
"""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stackctl.config.url import OllamaUrl, is_private

_CLIENT_KEYS = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "allProxy": "ALL_PROXY",
}


@dataclass(frozen=True)
class Proxy:
    """The proxy in force. ``variable`` is where it came from; ``near_miss`` an exception meant for this URL."""

    host: str
    port: int
    variable: str
    value: str
    near_miss: str = ""


def chosen(environment: Mapping[str, str | None], url: OllamaUrl, addresses: Sequence[str] = ()) -> Proxy | None:
    """The proxy that a typical client (requests, httpx) takes for ``url``, or None.

    ``addresses`` are those that its name resolves to: an exception for their network was meant for it.
    """
    names = (f"{url.scheme}_proxy", f"{url.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    variable = next((n for n in names if environment.get(n)), "")
    if not variable:
        return None
    entries = [
        e.strip() for e in (environment.get("no_proxy") or environment.get("NO_PROXY") or "").split(",") if e.strip()
    ]
    if any(_matches(entry, url) for entry in entries):
        return None
    value = environment[variable] or ""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname or "", parts.port or 3128
    except ValueError:
        return None
    if not host:
        return None
    return Proxy(host, port, variable, value, next((e for e in entries if _meant(e, url, addresses)), ""))


def exceptions_for(environment: Mapping[str, str | None], url: OllamaUrl) -> dict[str, str]:
    """``NO_PROXY`` and ``no_proxy`` with the host of ``url`` added, where a proxy would take what is meant for it.

    Empty where none would, and for a public host, which may well be reached by the proxy only.
    """
    if not is_private(url.host) or chosen(environment, url) is None:
        return {}
    present = environment.get("NO_PROXY") or environment.get("no_proxy")
    host = url.host
    return {
        name: ",".join(filter(None, [(environment.get(name) or present or "").rstrip(", "), host]))
        for name in ("NO_PROXY", "no_proxy")
    }


def client_proxies(settings: Mapping[str, Any], host: str = "default") -> dict[str, str]:
    """What the ``proxies`` of the Docker client's ``config.json`` put into a container, in both spellings."""
    proxies = settings.get("proxies") or {}
    chosen_ones = proxies.get(host) or proxies.get("default") or {}
    return {
        name: str(chosen_ones[key])
        for key, variable in _CLIENT_KEYS.items()
        if chosen_ones.get(key)
        for name in (variable, variable.lower())
    }


def _matches(entry: str, url: OllamaUrl) -> bool:
    host = url.host.lower().rstrip(".")
    entry = entry.lower()
    if entry == "*":
        return True
    bare = entry.lstrip(".")
    return host == bare or (url.ip is None and host.endswith(f".{bare}"))


def _meant(entry: str, url: OllamaUrl, addresses: Sequence[str]) -> bool:
    """Whether an ineffective exception was meant for this URL: CIDR, glob, ``host:port``, or an address for a name."""
    host = url.host.lower()
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and name.lower().lstrip(".") == host:
        return True
    if "*" in entry and fnmatch.fnmatch(host, entry.lower()):
        return True
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
    known = [url.ip] if url.ip is not None else [ipaddress.ip_address(a.partition("%")[0]) for a in addresses]
    return any(ip in network for ip in known)
