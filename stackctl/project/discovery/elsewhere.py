"""The Ollama servers outside of the project that its consumers use today, as ``instances`` of ``stackctl.yaml``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stackctl.config.url import HOST_ALIAS, OllamaUrl, UrlError
from stackctl.project.discovery.findings import Findings, Spot
from stackctl.project.discovery.secrecy import looks_secret


@dataclass(frozen=True)
class Present:
    """One such server. ``auth`` is how to write the credentials that stand in the URL today, none of their values."""

    name: str
    url: str
    consumers: tuple[str, ...]
    auth: str = ""
    needs: tuple[str, ...] = ()
    """Variables that ``auth`` refers to."""


def present_instances(findings: Findings) -> list[Present]:
    """The servers outside the project that its consumers use today, the host's first."""
    users: dict[str, list[str]] = {}
    spots: dict[str, Spot] = {}
    for consumer in findings.consumers:
        for setting in consumer.settings:
            for spot in setting.spots:
                if not is_instance(spot.server):
                    continue
                if consumer.service not in users.setdefault(spot.server, []):
                    users[spot.server].append(consumer.service)
                if spot.user is not None or spot.server not in spots:
                    spots[spot.server] = spot
    found: list[Present] = []
    for url in sorted(users, key=lambda u: HOST_ALIAS not in u):
        name = _name(url, [p.name for p in found])
        found.append(Present(name, url, tuple(users[url]), *_auth(name, spots[url])))
    return found


def is_instance(server: str) -> bool:
    """Whether a server is one that an instance can stand for: elsewhere, and with a URL that is taken."""
    if not server or server.startswith("service:"):
        return False
    try:
        OllamaUrl.parse(server)
    except UrlError:
        return False
    return True


def _auth(name: str, spot: Spot) -> tuple[str, tuple[str, ...]]:
    if spot.user is None:
        return "", ()
    stem = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    stem = stem if stem[:1].isalpha() else f"OLLAMA_{stem}"
    needs = [f"{stem}_PASSWORD"]
    user = spot.user
    if not spot.has_password or looks_secret(user) or not re.fullmatch(r"[A-Za-z0-9._@-]+", user):
        needs.insert(0, f"{stem}_USER")
        user = f"${{{stem}_USER}}"
    return f'auth: {{basic: {{user: "{user}", password: "${{{stem}_PASSWORD}}"}}}}', tuple(needs)


def _name(url: str, taken: Sequence[str]) -> str:
    parsed = OllamaUrl.parse(url)
    if parsed.host == HOST_ALIAS:
        base = "host"
    elif parsed.ip is not None:
        base = "remote"
    else:
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", parsed.host.split(".", 1)[0]).strip("-_").lower() or "remote"
        base = "remote" if base == "local" or not re.match(r"[a-z0-9]", base) else base
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}-{count}"
    return name
