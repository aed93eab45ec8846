"""What a value most likely means, and what is wrong with its text. Pure reading of strings."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from stackctl.config.url import DEFAULT_PORT, OllamaUrl
from stackctl.diagnose.scene import UrlSetting
from stackctl.diagnose.sign import Sign

_ENDPOINT = re.compile(
    r"/(?:api/(?:generate|chat|tags|show|embed|embeddings|version|ps|pull)|v1/(?:models|chat/completions|completions|embeddings))$"
)
_HOSTISH = re.compile(r"(?:^|_)(?:HOST|HOSTNAME|ADDR|ADDRESS|SERVER|IP)\d*$", re.IGNORECASE)
BROWSER = re.compile(r"^(?:NEXT_PUBLIC|VITE|REACT_APP|NUXT_PUBLIC|PUBLIC|EXPO_PUBLIC|GATSBY|VUE_APP)_", re.IGNORECASE)
OPENAI = re.compile(r"OPEN_?AI", re.IGNORECASE)
URLISH = re.compile(r"URL|URI|HOST|BASE|ENDPOINT|ADDR|SERVER", re.IGNORECASE)


def read(
    consumer: str,
    variable: str,
    value: str,
    *,
    source: str = "container",
    template: str = "",
    port: tuple[str, int] | None = None,
) -> list[UrlSetting]:
    """Every address in one value (lists are split at ``;`` and ``,``), each with the marks of its text.

    ``port`` is another variable that says the port, and what it says.
    """
    marks: set[Sign] = set()
    text = value
    if any(c <= " " or c == "\x7f" for c in text.strip("\"'")) and " #" not in text:
        marks.add(Sign.VALUE_SPACE)
    if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        marks.add(Sign.VALUE_QUOTED)
        text = text[1:-1]
    if re.search(r"\s#", text):
        marks.add(Sign.VALUE_COMMENT)
        text = re.split(r"\s+#", text)[0]
    text = re.sub(r"[\s\x00-\x1f\x7f]+", "", text)
    if not text:
        return [
            UrlSetting(
                consumer,
                variable,
                value,
                None,
                marks=frozenset({Sign.VALUE_BLANK, *marks}),
                source=source,
                template=template,
            )
        ]
    parts = [p for p in re.split(r"[;,]", text) if p]
    if len(parts) > 1:
        marks.add(Sign.VALUE_LIST)
    return [
        _one(consumer, variable, value, part, marks, source=source, template=template, partner=port)
        for part in parts[:8]
    ]


def _one(
    consumer: str,
    variable: str,
    value: str,
    part: str,
    shared: set[Sign],
    *,
    source: str,
    template: str,
    partner: tuple[str, int] | None,
) -> UrlSetting:
    marks = set(shared)
    openai = bool(OPENAI.search(variable))
    marks.add(Sign.CLIENT_OPENAI if openai else Sign.CLIENT_NATIVE)
    if BROWSER.match(variable):
        marks.add(Sign.CLIENT_BROWSER)
    # A template of `{host}:{port}` for a variable that calls itself a URL only copies the fault.
    hostish = bool(_HOSTISH.search(variable)) or (
        template.startswith("{host}") and not re.search(r"URL|URI", variable, re.IGNORECASE)
    )
    if "://" not in part:
        marks.add(Sign.VALUE_HOST_PORT if hostish else Sign.VALUE_NO_SCHEME)
        part = f"http://{part.lstrip('/')}"
    try:
        split = urlsplit(part)
        port, host = split.port, split.hostname or ""
    except ValueError:
        return UrlSetting(
            consumer, variable, value, None, marks=frozenset({*marks, Sign.VALUE_UNREADABLE}), source=source
        )
    scheme = split.scheme.lower()
    if scheme not in ("http", "https") or not host:
        marks.add(Sign.VALUE_NO_HOST if scheme in ("http", "https") else Sign.VALUE_OTHER_SCHEME)
        return UrlSetting(
            consumer, variable, value, None, marks=frozenset({*marks, Sign.VALUE_UNREADABLE}), source=source
        )
    if port is None:
        port = _port(scheme, partner, marks)
    path, suffix = _path(split.path, marks)
    if openai and not suffix:
        marks.add(Sign.URL_OPENAI_BARE)
    if path:
        marks.add(Sign.URL_PREFIX)
    marks |= _host_marks(host)
    userinfo = part.split("://", 1)[1].rsplit("@", 1)[0] if "@" in split.netloc else ""
    if userinfo:
        marks.add(Sign.URL_USERINFO)
    if template.endswith("/v1") or "{url}/v1" in template:
        marks.add(Sign.TEMPLATE_V1)
    return UrlSetting(
        consumer,
        variable,
        value,
        OllamaUrl(scheme, host, port, path),
        suffix,
        frozenset(marks),
        source,
        userinfo=userinfo,
        template=template,
        port_variable=partner[0] if partner is not None and split.port is None else "",
    )


def _port(scheme: str, partner: tuple[str, int] | None, marks: set[Sign]) -> int:
    """The port of an address that names none, and the mark of where it comes from."""
    if partner is not None:
        if Sign.VALUE_NO_SCHEME in marks:
            marks.remove(Sign.VALUE_NO_SCHEME)
            marks.add(Sign.VALUE_HOST_PORT)
        return partner[1]
    if Sign.VALUE_HOST_PORT in marks:
        return DEFAULT_PORT
    marks.add(Sign.URL_PORT_OMITTED)
    return 443 if scheme == "https" else 80


def _path(path: str, marks: set[Sign]) -> tuple[str, str]:
    """A path as the prefix of the API and what comes after it, and the marks of both."""
    if (path.endswith("/") and path.strip("/")) or path == "/":
        marks.add(Sign.URL_SLASH)
    path = re.sub("/+$", "", path)
    if match := _ENDPOINT.search(path):
        marks.add(Sign.URL_ENDPOINT)
        return path[: match.start()], match[0]
    if path.endswith(("/v1", "/api")):
        cut = path.rindex("/")
        marks.add(Sign.URL_V1 if path[cut:] == "/v1" else Sign.URL_API)
        return path[:cut], path[cut:]
    return path, ""


def _host_marks(host: str) -> set[Sign]:
    lower = host.lower().rstrip(".")
    marks: set[Sign] = set()
    try:
        ip = ipaddress.ip_address(lower.partition("%")[0])
    except ValueError:
        ip = None
    if ip is not None:
        marks.add(Sign.URL_IP)
        if ip.is_unspecified:
            marks.add(Sign.URL_ZERO)
        elif ip.is_loopback:
            marks.add(Sign.URL_LOOPBACK)
        return marks
    if lower in ("localhost", "ip6-localhost", "localhost.localdomain") or lower.endswith(".localhost"):
        marks |= {Sign.URL_LOOPBACK, Sign.URL_LOCALHOST}
    if lower == "host.docker.internal":
        marks.add(Sign.URL_HOST_ALIAS)
    if "." not in lower:
        marks.add(Sign.URL_SINGLE_LABEL)
    if lower.endswith(".local"):
        marks.add(Sign.URL_MDNS)
    if lower.endswith(".ts.net"):
        marks.add(Sign.URL_TAILNET)
    return marks
