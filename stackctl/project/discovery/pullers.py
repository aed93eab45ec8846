"""Which services only put models into an Ollama, and which of them end."""

from __future__ import annotations

import posixpath
import re

from stackctl.project.compose import ComposeProject, Service
from stackctl.project.discovery import images
from stackctl.project.discovery.address import BIND_NAMES, DEFAULT_PORT, addresses

PULL_TEXT = re.compile(r"\bollama\s+(?:pull|create|run)\b|/api/(?:pull|create)\b")
_PULLS = r"\bollama\s+(?:pull|create|run|cp|list|show|rm)\b|/api/pull\b"
_PULL_NAME = r"(?i)pull|download|init|setup|bootstrap|loader|seed|warm"


def words_of(service: Service) -> str:
    """Entrypoint and command as one line of text."""
    parts: list[str] = []
    for key in ("entrypoint", "command"):
        value = service.raw.get(key)
        parts += [str(p) for p in value] if isinstance(value, list) else [str(value)] if value else []
    return " ".join(parts)


def is_one_shot(service: Service, project: ComposeProject) -> bool:
    """Whether it is meant to end: never restarted, or somebody waits for its end."""
    waited = any(
        (other.depends_on.get(service.name) or {}).get("condition") == "service_completed_successfully"
        for other in project
    )
    return waited or str(service.raw.get("restart") or "") in ("no", "on-failure")


def one_shots(project: ComposeProject) -> frozenset[str]:
    """Every service that is meant to end, as :func:`is_one_shot` sees it."""
    waited = {
        name
        for other in project
        for name, edge in other.depends_on.items()
        if edge.get("condition") == "service_completed_successfully"
    }
    return frozenset(
        s.name for s in project if s.name in waited or str(s.raw.get("restart") or "") in ("no", "on-failure")
    )


def bind_port(value: str) -> int | None:
    """The port of a bind address such as ``0.0.0.0:5000``, ``:11434`` or ``0.0.0.0``; None for a client's address."""
    text = value.strip().strip("'\"")
    text = re.sub(r"^https?://", "", text).rstrip("/")
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, ""
    if host.strip("[]") not in BIND_NAMES or (port and not port.isdigit()):
        return None
    return int(port) if port else DEFAULT_PORT


def pulls_models(service: Service, project: ComposeProject) -> bool:
    """Whether the service only puts models into an Ollama and ends: by Ollama's own client, or over the API."""
    if images.is_ollama(service.image):
        return is_puller(service, project)
    return bool(PULL_TEXT.search(words_of(service))) and is_one_shot(service, project)


def is_puller(service: Service, project: ComposeProject) -> bool:
    """Whether a service with Ollama's image is a client of another server, or serves itself only to pull."""
    line = words_of(service)
    host = service.environment.get("OLLAMA_HOST")
    if host and bind_port(host) is None and not _is_own_name(host, service):
        return True
    if re.search(r"\bollama\s+(?:serve|start)\b", line):
        return False
    argv = [*(service.raw.get("entrypoint") or []), *(service.raw.get("command") or [])]
    if re.search(_PULLS, line) or (argv and argv[0] in ("pull", "create", "run", "list", "show")):
        return True
    if service.ports or not argv or argv in (["serve"], ["/bin/ollama", "serve"]):
        return False
    ends = is_one_shot(service, project)
    script = any(re.search(_PULL_NAME, posixpath.basename(str(a))) for a in argv)
    return ends and (script or bool(re.search(_PULL_NAME, service.name)))


def models_pulled(service: Service) -> list[str]:
    """Names of the models that its command pulls, where they are written out."""
    line = words_of(service)
    argv = [str(a) for a in [*(service.raw.get("entrypoint") or []), *(service.raw.get("command") or [])]]
    found = re.findall(r"\bollama\s+(?:pull|run)\s+['\"]?([\w./:-]+)", line)
    found += re.findall(r"['\"](?:name|model)\\?['\"]\s*:\s*\\?['\"]([\w./:-]+)", line) if "/api/pull" in line else []
    if argv[:1] == ["pull"]:
        found += [a for a in argv[1:] if not a.startswith("-")]
    return list(dict.fromkeys(m for m in found if re.fullmatch(r"[A-Za-z0-9_][\w.:/-]*", m)))


def _is_own_name(host: str, service: Service) -> bool:
    found = addresses(host, whole=True)
    return bool(found) and found[0].host in service.answers_to()
