"""Consumers that are told by a file which is mounted into them. An override cannot reach into it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace

from stackctl.project.compose import Service
from stackctl.project.discovery import programs
from stackctl.project.discovery.address import addresses
from stackctl.project.discovery.envfile import is_example_of
from stackctl.project.discovery.findings import Setting, Spot
from stackctl.project.discovery.landscape import Landscape, calls_ollama
from stackctl.project.discovery.pullers import words_of
from stackctl.project.discovery.raw import RawProject
from stackctl.project.discovery.secrecy import redacted
from stackctl.project.discovery.source import Source

_CONFIG = (
    ".yaml",
    ".yml",
    ".json",
    ".json5",
    ".jsonc",
    ".toml",
    ".conf",
    ".cfg",
    ".cnf",
    ".ini",
    ".properties",
    ".xml",
    ".template",
    ".tpl",
    ".tmpl",
    ".vcl",
    ".hcl",
    ".env",
    "caddyfile",
    ".example",
    ".sample",
)
_COMMENT = r"^\s*(?:#|//|;|--|\*|/\*)"
# In a folder of an app's source or data, what is named like its configuration is it; workflows and the like are data.
_SETS_UP = re.compile(
    r"(?i)(?:^|[/._-])(?:config|configs|conf|cfg|settings?|application|properties|litellm|llms?|providers?|models?|"
    r"endpoints?|librechat)(?:[/._-]|$)"
)
_DEFINED = r"(?m)^\s*(?:upstream|backend|cluster)\s+([\w.-]+)\s*\{?\s*$"
_MAX_IN_FOLDER = 60


def in_mounts(service: Service, source: Source, raw: RawProject, land: Landscape) -> list[Setting]:
    """Addresses of an Ollama in mounted files of the project."""
    found: list[Setting] = []
    told = False
    for path in dict.fromkeys(_files(service, source)):
        text = source.reader.text(path)
        if text is not None:
            told = told or (programs.is_code(path) and programs.takes_from_environment(text))
            found += _in_text(path, text, source, land, service.name)
    if told:
        found = [s for s in found if s.kind != "hardcoded"]
    return found + _inline(service, source, raw, land)


def _inline(service: Service, source: Source, raw: RawProject, land: Landscape) -> list[Setting]:
    """Top-level ``configs`` whose content stands in the Compose file itself."""
    found: list[Setting] = []
    for name in _config_names(service):
        content = (source.project.configs.get(name) or {}).get("content")
        place = raw.key(service.name, "configs")
        for setting in _in_text(name, str(content), source, land, service.name) if content and place else []:
            evidence = f"{source.shown(place.path)}:{place.line}" if place else ""
            reason = (
                f"it stands in the config `{name}` of the Compose file, which an override could only replace as a whole"
            )
            found.append(replace(setting, kind="config_file", name=name, evidence=evidence, reason=reason))
    return found


def _config_names(service: Service) -> list[str]:
    return [str(e.get("source") if isinstance(e, dict) else e) for e in service.raw.get("configs") or []]


def missing_config(service: Service, source: Source, raw: RawProject) -> Setting | None:
    """For a gateway: the mounted configuration that is not there to be read."""
    for volume in service.volumes:
        path = str(volume.get("source") or "")
        if volume.get("type") == "bind" and path.lower().endswith(_CONFIG) and source.reader.text(path) is None:
            place = raw.volume(service.name, path)
            evidence = f"{source.shown(place.path)}:{place.line}" if place else ""
            return Setting(
                "config_file",
                source.shown(path),
                None,
                None,
                evidence,
                f"{source.shown(path)} is mounted and decides it, and is not there to be read",
            )
    return None


def _files(service: Service, source: Source) -> Iterator[str]:
    """Text files that the service mounts, those of mounted folders too; the example of one that is missing."""
    seen: set[str] = set()
    for volume in [*service.volumes, *_configs(service, source)]:
        path = str(volume.get("source") or "")
        if volume.get("type") not in ("bind", "config") or path in seen or path.endswith(".sock"):
            continue
        seen.add(path)
        lower = path.lower()
        if _is_of_the_project(path, source):
            continue
        if lower.endswith((*_CONFIG, *programs.CODE)):
            if source.reader.text(path) is not None:
                yield path
            else:
                folder = posixpath.dirname(path)
                yield from (posixpath.join(folder, n) for n in source.reader.names(folder) if is_example_of(n, path))
        elif _inside(path, source) and posixpath.normpath(path) != posixpath.normpath(source.home):
            yield from _folder(path, service, source)


def _is_of_the_project(path: str, source: Source) -> bool:
    """Compose and env files that a service mounts to manage the project with: they tell it no address."""
    base = posixpath.basename(path.lower())
    compose = re.fullmatch(r"(?:docker-)?compose\b.*\.ya?ml", base)
    return path in source.files or bool(compose) or base.startswith((".env", "env."))


def _configs(service: Service, source: Source) -> list[dict[str, str]]:
    """Top-level ``configs`` with a file, as if they were mounts."""
    defined = source.project.configs
    found = []
    for name in _config_names(service):
        file = (defined.get(name) or {}).get("file")
        if file:
            found.append({"type": "config", "source": str(file)})
    return found


def _inside(path: str, source: Source) -> bool:
    return path.startswith(source.home.rstrip("/") + "/") or any(
        path.startswith(posixpath.dirname(f).rstrip("/") + "/") for f in source.files
    )


def _folder(root: str, service: Service, source: Source) -> list[str]:
    """What of a mounted folder may tell the app its Ollama."""
    context = posixpath.normpath(str((service.raw.get("build") or {}).get("context") or "/-"))
    is_source = (
        root == context or context.startswith(root + "/") or programs.is_program_folder(source.reader.names(root))
    )
    command = words_of(service)
    found: list[str] = []
    for path in _below(root, source, 0):
        inside, lower = posixpath.relpath(path, root), path.lower()
        if programs.is_aside(inside) or _is_of_the_project(path, source):
            continue
        if lower.endswith(".sh"):
            if programs.is_run(path, command):
                found.append(path)
        elif (
            lower.endswith(programs.CODE)
            or not (is_source or lower.endswith((".json", ".xml")))
            or _SETS_UP.search(inside)
        ):
            found.append(path)
    return found[:_MAX_IN_FOLDER]


def _below(path: str, source: Source, depth: int) -> Iterator[str]:
    for name in source.reader.names(path):
        if name.endswith("/"):
            if depth < 1 and not name.startswith((".", "node_modules", "__pycache__")):
                yield from _below(posixpath.join(path, name.rstrip("/")), source, depth + 1)
        elif name.lower().endswith((*_CONFIG, *programs.CODE)) and not name.lower().endswith((".example", ".sample")):
            yield posixpath.join(path, name)


def _listens(host: str, before: str) -> bool:
    """Whether a bare address is one to listen on, by the host or by what stands before it."""
    return host in ("0.0.0.0", "::") or bool(re.search(r"(?i)\b(?:listen|bind)", before))  # noqa: S104  (compared)


def _in_text(path: str, text: str, source: Source, land: Landscape, own: str) -> list[Setting]:
    if "://" not in text and "11434" not in text and not any(host in text for host in land.servers):
        return []
    code = programs.is_code(path)
    lines = text.splitlines()
    defined = set(re.findall(_DEFINED, text)) if not code else set()
    found: dict[tuple[str | None, str | None], Setting] = {}
    for number, line in enumerate(lines, 1):
        if re.match(_COMMENT, line) or (code and programs.is_default(lines, number - 1)):
            continue
        for address in addresses(line):
            at = land.points_at(address, own)
            before = line[: address.start]
            if not calls_ollama(address, at) or land.owner(address.host, own) == own or address.host in defined:
                continue
            if not address.scheme and _listens(address.host, before):
                continue
            if not code and programs.interpolated(before):
                continue
            name = programs.assigned_to(before) if code else source.shown(path)
            if code and not programs.is_called(name, line):
                continue
            value = redacted(line[address.start : address.end])
            reason = (
                f"it is written in the program itself ({source.shown(path)}:{number}); let the program read a variable"
                if code
                else f"it stands in a mounted file; change {source.shown(path)}:{number}, or give the app a variable"
            )
            found.setdefault(
                (name, value),
                Setting(
                    "hardcoded" if code else "config_file",
                    name,
                    value,
                    None,
                    f"{source.shown(path)}:{number}",
                    reason,
                    "",
                    at,
                    "",
                    (Spot(0, 0, "", land.server(address, at, own)),),
                ),
            )
    return list(found.values())
