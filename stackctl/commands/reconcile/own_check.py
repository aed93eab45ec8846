"""A consumer's own check of itself, ``verify: {http: …}``: asked from inside it, beside its Ollama."""

from __future__ import annotations

from urllib.parse import urlsplit

from stackctl.config.url import OllamaUrl
from stackctl.diagnose import http_reply as reply
from stackctl.diagnose.answers import ProbeAnswers
from stackctl.diagnose.plan import Aim, Ask

AIM = "verify"


def aim(http: str) -> Aim:
    """One GET of the URL as the consumer's container understands it; any certificate will do."""
    parts = urlsplit(http)
    url = OllamaUrl(parts.scheme, parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 80))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Aim(AIM, url, (Ask("own", "GET", path, timeout=10.0),), verify=False)


def failure(http: str, seen: ProbeAnswers) -> str | None:
    """Why it failed, or None: any status from 200 to 299 is well."""
    if not seen.able:
        return "its own check could not be asked from inside"
    found = seen.aims.get(AIM)
    answer = found.ask("own") if found else None
    status = reply.read(answer.raw).status if answer else 0
    return None if 200 <= status < 300 else f"its own check {http} answers {status or 'nothing'}"
