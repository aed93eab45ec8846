"""How Ollama reads ``OLLAMA_HOST`` (ollama/ollama: envconfig/config.go, Host)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stackctl.config.url import DEFAULT_PORT


@dataclass(frozen=True)
class HostSetting:
    """Where the server listens. ``host`` may be a name; ``surprise`` says what the value misleads one to expect."""

    host: str
    port: int
    surprise: str = ""


def parse_ollama_host(value: str | None) -> HostSetting:
    """Read it as the server does: outer spaces and quotes go, a scheme has its own port, a bad port is the default."""
    text = (value or "").strip().strip("\"'").strip()
    if not text:
        return HostSetting("127.0.0.1", DEFAULT_PORT)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    default = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    if text == "ollama.com":
        default = 443
    authority = rest.partition("/")[0]
    host, port_text = _split(authority)
    port, surprise = default, ""
    if port_text is not None:
        if port_text.isdigit() and int(port_text) <= 65535:
            port = int(port_text)
        else:
            surprise = f'"{port_text}" is no port, so Ollama takes {default}'
    elif scheme in ("http", "https"):
        surprise = f"with {scheme}:// and no port Ollama listens on {default}, not on {DEFAULT_PORT}"
    if not surprise and re.fullmatch(r"\d+", host):
        surprise = f'"{host}" is taken for a host name, not for a port'
    return HostSetting(host if port_text is not None or host else "127.0.0.1", port, surprise)


def _split(authority: str) -> tuple[str, str | None]:
    """Host and port text; IPv6 with or without brackets."""
    if authority.startswith("["):
        host, _, tail = authority[1:].partition("]")
        return host, tail[1:] if tail.startswith(":") else None
    if authority.count(":") > 1:
        return authority, None
    host, colon, port = authority.partition(":")
    return host, port if colon else None
