"""Which address a container is really told: its variables and arguments, read through the templates that wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stackctl.config.models import Consumer, StackConfig
from stackctl.config.target import GATEWAY_SERVICE, Target, resolve
from stackctl.config.url import DEFAULT_PORT, HOST_ALIAS, OllamaUrl, UrlError
from stackctl.diagnose.consumer_urls import told
from stackctl.diagnose.scene import UrlSetting
from stackctl.errors import StackctlError
from stackctl.project import telling

Arguments = Mapping[str, Sequence[str]]


def addresses_told(
    name: str, consumer: Consumer, environment: Mapping[str, str | None], arguments: Arguments | None = None
) -> list[UrlSetting]:
    """Every address that the app of a consumer is told, as its client has it."""
    found = told(name, consumer.env, environment)
    for key, template, value in _words(consumer, arguments or {}):
        found += [replace(one, place=key) for one in told(name, {key: template}, {key: value})]
    return found


def values_told(consumer: Consumer, url: OllamaUrl, *, model: str, token: str) -> tuple[dict[str, str], Arguments]:
    """The variables and the arguments that a consumer would be given for ``url``."""

    def filled(template: str) -> str:
        return telling.fill(template, url, model=model, token=token)

    words = {"entrypoint": consumer.entrypoint, "command": consumer.command}
    return (
        {variable: filled(template) for variable, template in consumer.env.items()},
        {key: [filled(word) for word in given] for key, given in words.items() if given},
    )


def told_url(
    consumer: Consumer, environment: Mapping[str, str | None], arguments: Arguments | None = None
) -> OllamaUrl | None:
    """The base URL from which a consumer's variables and arguments were made, or None where they name no Ollama."""
    parts: dict[str, str] = {}
    spelt = [(template, environment.get(variable)) for variable, template in consumer.env.items()]
    spelt += [(template, value) for _, template, value in _words(consumer, arguments or {})]
    for template, value in spelt:
        found = telling.read(template, value) if value is not None else None
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
        return next((one.url for one in addresses_told("", consumer, environment, arguments) if one.url), None)
    port = parts.get("port", str(DEFAULT_PORT))
    try:
        return OllamaUrl.parse(f"{parts.get('scheme', 'http')}://{f'[{host}]' if ':' in host else host}:{port}")
    except UrlError:
        return None


def _words(consumer: Consumer, arguments: Arguments) -> list[tuple[str, str, str]]:
    """``entrypoint`` or ``command``, a word's template, and the word that a container was given for it."""
    found = []
    for key, words in (("entrypoint", consumer.entrypoint), ("command", consumer.command)):
        given = arguments.get(key) or []
        if words and len(words) == len(given):
            found += [(key, template, value) for template, value in zip(words, given, strict=True)]
    return found


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
