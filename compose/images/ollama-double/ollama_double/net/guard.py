"""Who may ask: the Origin rules (CORS) and, on a loopback listener, the Host rules."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from ollama_double.net.web import Headers, Request, Response

_METHODS = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_HEADERS = (
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,OpenAI-Beta,x-stainless-arch,x-stainless-async,"
    "x-stainless-custom-poll-interval,x-stainless-helper-method,x-stainless-lang,x-stainless-os,"
    "x-stainless-package-version,x-stainless-poll-helper,x-stainless-retry-count,x-stainless-runtime,"
    "x-stainless-runtime-version,x-stainless-timeout"
)
_SUFFIXES = (".localhost", ".local", ".internal")


@dataclass(frozen=True)
class Verdict:
    """Either an answer that ends the request, or headers for the answer to come."""

    answer: Response | None
    headers: Headers


class Guard:
    """The two checks, CORS before Host."""

    def __init__(self, origins: tuple[str, ...], *, loopback: bool) -> None:
        self._all = "*" in origins
        self._exact = frozenset(origin for origin in origins if "*" not in origin)
        self._wild = tuple(tuple(origin.split("*", 1)) for origin in origins if "*" in origin and origin != "*")
        self._loopback = loopback
        self._hostname = socket.gethostname().lower()

    def check(self, request: Request) -> Verdict:
        """Judge a request."""
        headers: Headers = []
        origin = request.header("Origin")
        host = request.header("Host") or ""
        if origin and origin not in {f"http://{host}", f"https://{host}"}:
            if not self._allowed(origin):
                return Verdict(Response(403), [])
            headers = [("Access-Control-Allow-Origin", "*" if self._all else origin)]
            if not self._all:
                headers.append(("Vary", "Origin"))
            if request.method == "OPTIONS":
                headers += [("Access-Control-Allow-Methods", _METHODS), ("Access-Control-Allow-Headers", _HEADERS),
                            ("Access-Control-Max-Age", "43200")]  # fmt: skip
                return Verdict(Response(204, headers=headers), headers)
        if self._loopback:
            refusal = self._host(request, host)
            if refusal is not None:
                return Verdict(refusal, headers)
        return Verdict(None, headers)

    def _allowed(self, origin: str) -> bool:
        if self._all or origin in self._exact:
            return True
        return any(
            len(origin) >= len(head) + len(tail) and origin.startswith(head) and origin.endswith(tail)
            for head, tail in self._wild
        )

    def _host(self, request: Request, text: str) -> Response | None:
        host, _, port = text.rpartition(":")
        if not host or "]" in port:
            host = text
        host = host[1:-1] if host.startswith("[") and port.isdecimal() else host
        address = _address(host)
        if address is not None:
            known = address.is_loopback or address.is_private or address.is_unspecified or _is_ours(address)
            return None if known else Response(403)
        lower = host.lower()
        if lower in {"", "localhost", self._hostname} or lower.endswith(_SUFFIXES):
            return Response(204) if request.method == "OPTIONS" else None
        return Response(403)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_ours(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
