"""The URL of an Ollama server. One that is refused comes with a corrected one, where it can be guessed."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from stackctl import redaction
from stackctl.redaction import REDACTED

DEFAULT_PORT = 11434
MAX_PORT = 65535
LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost", "localhost.localdomain"})
HOST_ALIAS = "host.docker.internal"

# A path that ends in one of these is an endpoint, not a prefix for the API
# (routes of Ollama's server/routes.go).
_ENDPOINT = re.compile(
    r"/(?:api(?:/(?:generate|chat|tags|show|embed|embeddings|version|ps|pull|push|create|copy|delete|me|status))?"
    r"|v1(?:/(?:models|chat(?:/completions)?|completions|embeddings|responses|messages))?)/*$"
)
_HOSTNAME = re.compile(r"^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$")


class UrlError(ValueError):
    """Why a URL is refused, and the corrected one (empty where none can be guessed)."""

    def __init__(self, message: str, corrected: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.corrected = corrected


@dataclass(frozen=True)
class OllamaUrl:
    """``scheme://host[:port][prefix]``; ``host`` without brackets, ``prefix`` without a slash at the end."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> OllamaUrl:
        """Parse ``text``; raise :class:`UrlError` with the corrected URL where it is no base URL of an Ollama."""
        _refuse_odd_characters(text)
        scheme, rest = _split_scheme(text)
        try:
            parts = urlsplit(text)
            host = parts.hostname or ""
        except ValueError as error:
            raise UrlError(f"the URL cannot be read ({error})") from None
        if parts.username is not None or parts.password is not None:
            bare = f"{scheme}://{rest.rsplit('@', 1)[-1] if '/' not in rest.split('@')[0] else rest}"
            raise UrlError(
                "the URL holds credentials; they belong in `auth:` as a ${NAME}",
                _corrected(bare),
            )
        _refuse_host(host)
        port = _port(parts.netloc, text)
        if parts.query or parts.fragment or text.endswith(("?", "#")):
            raise UrlError(
                "the URL has a query or a fragment",
                _corrected(text.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0]),
            )
        prefix = _prefix(parts.path, f"{scheme}://{parts.netloc}")
        return cls(scheme.lower(), host, port or {"http": 80, "https": 443}[scheme.lower()], prefix)

    @property
    def netloc(self) -> str:
        """``host`` or ``host:port``, bracketed for IPv6, the scheme's own port left out."""
        usual = self.port == {"http": 80, "https": 443}[self.scheme]
        return bracketed(self.host) if usual else self.address

    @property
    def address(self) -> str:
        """``host:port`` with the port always written, for ``OLLAMA_HOST``-like settings."""
        return host_port(self.host, self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether the host means the machine itself: in a container, the container itself."""
        if self.host.lower().rstrip(".") in LOOPBACK_NAMES:
            return True
        ip = self.ip
        return ip is not None and (ip.is_loopback or ip.is_unspecified)

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an IP address, or None where it is a name."""
        try:
            return ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return None

    def with_host(self, host: str) -> OllamaUrl:
        """The same address on another host."""
        return replace(self, host=host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.prefix}"


def _refuse_odd_characters(text: str) -> None:
    cleaned = re.sub(r"[\s\x00-\x1f\x7f]+", "", text)
    if not cleaned:
        raise UrlError("the URL is empty", "http://ollama.example:11434")
    if cleaned != text:
        raise UrlError("the URL holds white space or control characters", _corrected(cleaned))
    if "\\" in text:
        raise UrlError("the URL holds a backslash", _corrected(text.replace("\\", "/")))


def _split_scheme(text: str) -> tuple[str, str]:
    """``http`` or ``https`` as it is written, and what comes after ``://``."""
    if "://" not in text:
        raise UrlError("the URL has no scheme", _corrected(_with_scheme(text)))
    scheme, rest = text.split("://", 1)
    if re.match(r"https?://", rest, re.IGNORECASE):
        raise UrlError("the URL has two schemes", _corrected(rest))
    if scheme.lower() not in ("http", "https"):
        guess = "https" if scheme.lower() in ("wss", "https+unix", "ssl", "tls") else "http"
        raise UrlError(f'the scheme "{scheme}" is neither http nor https', _corrected(f"{guess}://{rest}"))
    return scheme, rest


def _refuse_host(host: str) -> None:
    """Raise where ``host`` is neither a name nor an address."""
    if not host:
        raise UrlError("the URL has no host")
    if ":" in host:
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError:
            raise UrlError(f'"{host}" is not an IPv6 address') from None
    elif not _HOSTNAME.match(host):
        raise UrlError(f'"{host}" is not a host name')
    elif re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise UrlError(f'"{host}" is not an IPv4 address') from None


def _prefix(path: str, origin: str) -> str:
    """The path in front of the API, without a slash at its end; raise where it is an endpoint itself."""
    prefix = path.rstrip("/")
    if _ENDPOINT.search(prefix):
        raise UrlError(
            f'"{path}" is an endpoint, not a prefix for the API', _corrected(f"{origin}{_ENDPOINT.sub('', prefix)}")
        )
    if prefix and ("//" in prefix or re.search(r"[^A-Za-z0-9._~!$&'()*+,;=:@%/-]", prefix)):
        raise UrlError(f'"{path}" is not a path prefix')
    return prefix


def _port(netloc: str, text: str) -> int | None:
    """The port behind the host's colon, or None where there is none."""
    digits = netloc.rpartition("]")[2].partition(":")[2]
    if not digits:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not 0 < int(digits) <= MAX_PORT:
        meant = text.replace(netloc, f"{netloc.removesuffix(f':{digits}')}:{DEFAULT_PORT}", 1)
        raise UrlError(f'"{digits}" is not a port', _corrected(meant) if re.fullmatch(r"[0-9:-]+", digits) else "")
    return int(digits)


def bracketed(host: str) -> str:
    """A host as URLs write it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def host_port(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"{bracketed(host)}:{port}"


def prefix_of(path: str) -> str:
    """Of a URL's path, what lies before the API itself: ``/team`` of ``/team/v1/``."""
    return _ENDPOINT.sub("", path).rstrip("/")


def is_private(host: str) -> bool:
    """Whether a host is one of a LAN, a VPN or this machine, by its address or its name."""
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return bool(re.search(r"^[^.]+$|\.(?:lan|local|localdomain|internal|intern|intranet|home|corp|ts\.net)$", host))


def without_credentials(text: str) -> str:
    """One URL, or what was meant as one, with the user and the password in it redacted."""
    return re.sub(r"^[^\s/]+@", f"{REDACTED}@", redaction.without_credentials(text))


def _with_scheme(text: str) -> str:
    """``http:/h``, ``http//h``, ``//h:1`` or ``h`` as a URL; without a port it gets Ollama's own."""
    match = re.match(r"(https?)(?::/?|//)(?=[^/])(.+)", text, re.IGNORECASE)
    if match:
        return f"{match[1]}://{match[2]}"
    host, slash, path = text.lstrip("/").partition("/")
    port = "" if re.search(r":\d+$", host) else f":{DEFAULT_PORT}"
    return f"http://{host}{port}{slash}{path}"


def _corrected(candidate: str) -> str:
    """The candidate if it passes, itself corrected where one more step mends it, else nothing."""
    for _ in range(4):
        try:
            return str(OllamaUrl.parse(candidate))
        except UrlError as error:
            if not error.corrected or error.corrected == candidate:
                return ""
            candidate = error.corrected
    return ""
