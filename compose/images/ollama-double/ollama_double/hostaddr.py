"""OLLAMA_HOST: one text, read as a listen address by the server and as a URL by the command line."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_PORT = 11434


@dataclass(frozen=True)
class HostAddress:
    """The parts of OLLAMA_HOST; `problem` is a warning to log, if any."""

    scheme: str
    host: str
    port: int
    path: str
    problem: str | None = None

    @property
    def url(self) -> str:
        """The address as a client dials it, path kept as a prefix."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse(value: str | None) -> HostAddress:
    """Read OLLAMA_HOST by the real server's rules (its outer spaces and quotes are trimmed)."""
    text = clean(value or "")
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "http", text
        default = DEFAULT_PORT
    else:
        default = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    if text == "ollama.com":
        scheme, default = "https", 443
    hostport, slash, path = rest.partition("/")
    host, port_text = _split(hostport)
    port, problem = default, None
    if port_text is not None:
        if port_text.isdecimal() and int(port_text) <= 65535:
            port = int(port_text)
        else:
            problem = f"invalid port, using default|{port_text}|{default}"
    if not hostport:
        host = "127.0.0.1"
    path = path.strip("/")
    return HostAddress(scheme, host, port, f"/{path}" if slash and path else "", problem)


def clean(value: str) -> str:
    """Trim outer spaces, then outer quotes of either sort, as every OLLAMA_* value is."""
    return value.strip().strip("\"'")


def _split(hostport: str) -> tuple[str, str | None]:
    if hostport.startswith("["):
        host, _, after = hostport[1:].partition("]")
        return host, after[1:] if after.startswith(":") else None
    if hostport.count(":") > 1:
        return hostport, None
    host, colon, port = hostport.partition(":")
    return host, port if colon else None
