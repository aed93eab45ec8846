"""Which URL a container is really told: its variables, read backwards through the templates that wrote them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from stackctl.config.models import Consumer, StackConfig
from stackctl.config.target import GATEWAY_SERVICE, Target, resolve
from stackctl.config.url import DEFAULT_PORT, HOST_ALIAS, OllamaUrl, UrlError
from stackctl.errors import StackctlError

_WORD = re.compile(r"(?<!\$)\{(url|scheme|host|port|model|token)\}")


def told_url(
    consumer: Consumer,
    environment: Mapping[str, str | None],
    arguments: Mapping[str, Sequence[str]] | None = None,
) -> OllamaUrl | None:
    """The base URL that a consumer's variables and arguments spell, or None where they spell none."""
    parts: dict[str, str] = {}
    spelt = [(template, environment.get(variable)) for variable, template in consumer.env.items()]
    for key, words in (("entrypoint", consumer.entrypoint), ("command", consumer.command)):
        given = (arguments or {}).get(key) or []
        if words and len(words) == len(given):
            spelt += [(t, v) for t, v in zip(words, given, strict=True) if _WORD.search(t)]
    for template, value in spelt:
        if value is None:
            continue
        found = _read(template, value)
        if found is None:
            continue
        if "url" in found:
            try:
                return OllamaUrl.parse(found["url"].rstrip("/"))
            except UrlError:
                continue
        parts.update(found)
    host = parts.get("host", "").strip("[]")
    if not host:
        return None
    port = parts.get("port", str(DEFAULT_PORT))
    try:
        return OllamaUrl.parse(f"{parts.get('scheme', 'http')}://{f'[{host}]' if ':' in host else host}:{port}")
    except UrlError:
        return None


def _read(template: str, value: str) -> dict[str, str] | None:
    """The words of a template from a value that it made; None where it cannot have made it."""
    pattern, position = "", 0
    seen: set[str] = set()
    for match in _WORD.finditer(template):
        word = match[1]
        pattern += re.escape(template[position : match.start()])
        inner = r"\d+" if word == "port" else r"https?" if word == "scheme" else r".*?"
        pattern += f"(?P={word})" if word in seen else f"(?P<{word}>{inner})"
        seen.add(word)
        position = match.end()
    pattern += re.escape(template[position:])
    found = re.fullmatch(pattern, value)
    return {k: v for k, v in found.groupdict().items() if v is not None} if found else None


def name_of(config: StackConfig, url: OllamaUrl) -> str:
    """The profile whose address this is, or the URL itself."""
    if url.host == config.local.service:
        return "local"
    if url.host == GATEWAY_SERVICE:
        return "gateway"
    for name in config.instances:
        try:
            target: Target = resolve(config.model_copy(update={"gateway": False}), name)
        except StackctlError:
            continue
        told = target.url
        same_host = told.host == url.host or (told.host == HOST_ALIAS and url.host == "127.0.0.1")
        if same_host and (told.scheme, told.port, told.prefix) == (url.scheme, url.port, url.prefix):
            return name
    return str(url)
