"""What an app's own client would ask at the addresses that it is told, and in which way. Pure.

``up``, ``switch`` and ``status`` call a consumer verified by this: with the
value as its app has it, through the proxy that its variables name, with the
credentials that it has and the trust of its own runtime.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from stackctl.config.url import OllamaUrl
from stackctl.diagnose.plan import Aim, Ask, ladder
from stackctl.diagnose.scene import UrlSetting
from stackctl.project.proxyrules import chosen

NOBODY = "stackctl-probe"
"""A model that no server has: an endpoint says so, and a path that is none says something else."""
_READ_ONLY = ("/api/tags", "/api/version", "/api/ps", "/v1/models")
_NO_CHECK = re.compile(
    r"(?:SSL|TLS|CERT|HTTPS).*(?:VERIFY|VALIDAT|CHECK|REJECT)|VERIFY.*(?:SSL|TLS|CERT)", re.IGNORECASE
)


def client_aims(
    settings: Sequence[UrlSetting],
    environment: Mapping[str, str | None],
    *,
    models: Sequence[str] = (),
    paths: Mapping[str, str] | None = None,
    addresses: Mapping[str, Sequence[str]] | None = None,
    check_certificate: bool = True,
) -> list[Aim]:
    """One aim for each server that an app is told; ``addresses`` are those that a name is going to have.

    ``check_certificate`` false leaves a certificate unchecked only where a variable of the app says the same to it.
    """
    groups: dict[tuple[OllamaUrl, tuple[tuple[str, str], ...]], list[UrlSetting]] = {}
    for one in settings:
        if one.url is not None:
            groups.setdefault((one.url, tuple(one.headers.items())), []).append(one)
    aims = []
    for number, ((url, headers), members) in enumerate(groups.items()):
        known = tuple((addresses or {}).get(url.host, ()))
        aim = ladder(
            url,
            aim=str(number),
            headers=dict(headers),
            models=models,
            addresses=known,
            verify=check_certificate or not checks_nothing(environment),
            paths=paths,
        )
        asks = {a.id: a for a in (*aim.asks, *(ask for m in members for ask in _below(m))) if _judged(a)}
        proxy = chosen(environment, url, known)
        if proxy is not None:
            asks = {k: replace(a, proxy=(proxy.host, proxy.port), everywhere=False) for k, a in asks.items()}
        aims.append(replace(aim, asks=tuple(asks.values())))
    return aims


def checks_nothing(environment: Mapping[str, str | None]) -> bool:
    """Whether a variable of an app tells its client to take any certificate (``SSL_VERIFY=false`` and its kind)."""
    off = ("0", "false", "no", "off")
    return any(_NO_CHECK.search(name) and (value or "").lower() in off for name, value in environment.items())


def _judged(ask: Ask) -> bool:
    """Whether its answer decides if the client would succeed; the rest of the ladder tells causes apart."""
    return ask.id in ("version", "tags") or ask.id.startswith("client:")


def _below(setting: UrlSetting) -> list[Ask]:
    """What is asked where the address is more than a base: the list of an OpenAI client, or the endpoint itself."""
    url, suffix = setting.url, setting.suffix
    if url is None or not suffix or suffix in ("/api", "/api/pull"):
        return []
    if suffix == "/v1" or suffix in _READ_ONLY:
        path = "/v1/models" if suffix == "/v1" else suffix
        return [Ask(f"client:{path}", "GET", url.prefix + path, dict(setting.headers), limit=1_048_576)]
    body = json.dumps({"model": NOBODY}).encode()
    return [Ask(f"client:{suffix}", "POST", url.prefix + suffix, dict(setting.headers), body=body, limit=65_536)]
