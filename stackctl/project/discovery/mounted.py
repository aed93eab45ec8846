"""Consumers that are told by a file which is mounted into them. An override cannot reach into it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace

from stackctl.project.compose import Service
from stackctl.project.discovery import programs
from stackctl.project.discovery.address import addresses
from stackctl.project.discovery.envfile import is_example_of, parse_env
from stackctl.project.discovery.findings import Setting, Spot
from stackctl.project.discovery.given import Given, given_files
from stackctl.project.discovery.landscape import Landscape, calls_ollama
from stackctl.project.discovery.pullers import words_of
from stackctl.project.discovery.raw import RawProject
from stackctl.project.discovery.secrecy import redacted
from stackctl.project.discovery.source import Source
from stackctl.project.discovery.variables import judge

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
        if text is not None and _is_dotenv(path):
            found += _in_dotenv(path, text, service, source, land)
        elif text is not None:
            told = told or (programs.is_code(path) and programs.takes_from_environment(text))
            found += _in_text(path, text, source, land, service.name)
    if told:
        found = [s for s in found if s.kind != "hardcoded"]
    given = [s for s in given_files(service, source, raw) if s.text]
    pointed = _by_file_variables(service, given, source, land)
    known = {s.name for s in [*found, *pointed]}
    for one in given:
        if one.name not in known:
            found += [_of_given(one, s) for s in _in_text(one.name, one.text, source, land, service.name)]
    return [*found, *pointed]


def _by_file_variables(service: Service, given: list[Given], source: Source, land: Landscape) -> list[Setting]:
    """Variables that name a file which holds the address: ``OLLAMA_URL_FILE=/run/secrets/url``."""
    found = []
    for name, value in service.environment.items():
        if not name.upper().endswith("_FILE") or not value:
            continue
        held = next((g for g in given if g.target == value.strip()), None) or _mounted_at(service, value, source)
        if held is None:
            continue
        verdict = judge(name[: -len("_FILE")], held.text.strip(), land, own=service.name)
        if verdict is not None and verdict.points_at:
            bare = all(spot.user is None for spot in verdict.spots)
            shown = redacted(held.text.strip()) if bare else None
            setting = Setting("config_file", held.name, shown, None, held.place, "", "", verdict.points_at)
            found.append(_of_given(held, replace(setting, spots=verdict.spots, evidence=held.place)))
    return found


def _mounted_at(service: Service, target: str, source: Source) -> Given | None:
    """The file of the project that is mounted at ``target``."""
    for volume in service.volumes:
        mount, path = str(volume.get("target") or ""), str(volume.get("source") or "")
        if volume.get("type") != "bind" or not mount:
            continue
        inside = posixpath.relpath(target.strip(), mount)
        if inside.startswith(".."):
            continue
        file = path if inside == "." else posixpath.join(path, inside)
        text = source.reader.text(file)
        if text:
            return Given(source.shown(file), text, target, f"{source.shown(file)}:1", f"a mounted file, {file}")
    return None


def _of_given(given: Given, setting: Setting) -> Setting:
    reason = f"it stands in {given.what}, which an override could only replace as a whole"
    evidence = setting.evidence if given.in_file else given.place
    return replace(setting, kind="config_file", name=given.name, evidence=evidence, reason=reason)


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
    for volume in service.volumes:
        path = str(volume.get("source") or "")
        if volume.get("type") != "bind" or path in seen or path.endswith(".sock"):
            continue
        seen.add(path)
        lower = path.lower()
        if _is_dotenv(path) and source.reader.text(path) is not None:
            yield path
            continue
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


def _is_dotenv(path: str) -> bool:
    """Whether a framework that finds this file in its folder reads variables from it; an example is none."""
    base = posixpath.basename(path)
    return bool(re.fullmatch(r"\.env(?:\.[\w.-]+)?", base)) and not is_example_of(base, ".env")


def _is_of_the_project(path: str, source: Source) -> bool:
    """Compose and env files that a service mounts to manage the project with: they tell it no address."""
    base = posixpath.basename(path.lower())
    compose = re.fullmatch(r"(?:docker-)?compose\b.*\.ya?ml", base)
    return path in source.files or bool(compose) or base.startswith((".env", "env."))


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
        if _is_dotenv(path):
            found.append(path)
            continue
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
        elif _is_dotenv(name) or (
            name.lower().endswith((*_CONFIG, *programs.CODE)) and not name.lower().endswith((".example", ".sample"))
        ):
            yield posixpath.join(path, name)


def _in_dotenv(path: str, text: str, service: Service, source: Source, land: Landscape) -> list[Setting]:
    """Variables of a mounted ``.env``, but for those that the container has itself: these go before the file's."""
    found: dict[str | None, Setting] = {}
    name = source.shown(path)
    for line in parse_env(text):
        if line.commented or line.name in service.environment:
            continue
        verdict = judge(line.name, line.value, land, own=service.name)
        if verdict is None or not verdict.points_at:
            continue
        value = redacted(line.value)
        place = f"{name}:{line.line}"
        reason = f"it stands in a mounted file; change {place}, or give the app the variable {line.name}"
        setting = Setting("config_file", name, value, None, place, reason, "", verdict.points_at, "", verdict.spots)
        found.setdefault(value, setting)
    return list(found.values())


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
