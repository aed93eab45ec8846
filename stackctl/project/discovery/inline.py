"""Consumers that are told outside the environment: command lines and build arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from stackctl.project.compose import Service
from stackctl.project.discovery import names
from stackctl.project.discovery.address import FOREIGN, Address, addresses, template_of
from stackctl.project.discovery.findings import Setting, Spot
from stackctl.project.discovery.landscape import Landscape, calls_ollama
from stackctl.project.discovery.raw import RawProject
from stackctl.project.discovery.secrecy import COPIES, looks_secret, redacted
from stackctl.project.discovery.source import Place, Source

_FLAG = r"^(--?[A-Za-z][\w.-]*)(?:=|$)"
BUILT_IN = "a build argument is baked into the image; change it in the Compose file and build again"
BRACES = "the {kind} holds a word in braces of its own, which would read as a placeholder"


def in_command(
    service: Service, source: Source, raw: RawProject, land: Landscape
) -> tuple[list[Setting], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Addresses of an Ollama in ``command`` and ``entrypoint``: as a flag's value, or anywhere in a script.

    With them the whole lists with templates in place of the addresses, of those that a template can carry.
    """
    found: dict[tuple[str, str | None, str], Setting] = {}
    apart: list[Setting] = []
    arguments: list[tuple[str, tuple[str, ...]]] = []
    for kind in ("entrypoint", "command"):
        value = service.raw.get(kind)
        argv = [str(a) for a in value] if isinstance(value, list) else str(value).split() if value else []
        braces = any(FOREIGN.search(word) for word in argv)
        reason = BRACES.format(kind=kind) if braces else COPIES if looks_secret(" ".join(argv)) else ""
        words = list(argv)
        for index, word in enumerate(argv):
            mine = [(a, at) for a in addresses(word) if (at := _calls(argv, index, word, a, service, land))]
            told = [(a, a.template(land.prefix(a, at))) for a, at in mine]
            words[index] = template_of(word, told) or word
            for (address, at), (_, template) in zip(mine, told, strict=True):
                flag, text = _flag(argv, index, word, address), word[address.start : address.end]
                server = land.server(address, at, service.name)
                spot = Spot(0, 0, "", server, address.user, address.has_password)
                found.setdefault(
                    (kind, flag, text),
                    Setting(
                        kind,
                        flag,
                        redacted(text),
                        None if reason else template,
                        _at(source, raw.key(service.name, kind)),
                        reason,
                        "",
                        at,
                        "",
                        (spot,),
                    ),
                )
        for index, (flag, start, template, at, server) in _in_two_flags(argv, service, land).items():
            text, where = argv[index][start:], _at(source, raw.key(service.name, kind))
            words[index] = argv[index][:start] + template
            spots = (Spot(0, 0, "", server),)
            apart.append(Setting(kind, flag, text, None if reason else template, where, reason, "", at, "", spots))
        if words != argv and not reason:
            arguments.append((kind, tuple(words)))
    return [*_first_of_each(list(found.values())), *apart], tuple(arguments)


def _in_two_flags(argv: list[str], service: Service, land: Landscape) -> dict[int, tuple[str, int, str, str, str]]:
    """The words of a host in one flag and its port in another: index to what is known of it.

    That is the flag, the start of the value, its template, where it points, and the server there.
    A host alone is taken only with its port: what is switched to may listen on another.
    """
    values = {
        split[0]: (index, split[1]) for index, _ in enumerate(argv) if (split := _value_of(argv, index)) is not None
    }
    found: dict[int, tuple[str, int, str, str, str]] = {}
    for flag, (index, start) in values.items():
        bare = addresses(argv[index][start:], whole=True) if names.is_host(flag) else []
        if len(bare) != 1 or bare[0].port is not None or bare[0].scheme or bare[0].path:
            continue
        port_flag = next((name for name in names.partner_ports(flag) if name in values), "")
        port, port_start = values.get(port_flag, (index, 0))
        if not argv[port][port_start:].isdigit():
            continue
        address = replace(bare[0], port=int(argv[port][port_start:]), start=start)
        at = _calls(argv, index, argv[index], address, service, land)
        if at == "ollama" or (at and names.says_ollama(flag)):
            server = land.server(address, at, service.name)
            found[index] = (flag, start, "{host}", at, server)
            found[port] = (port_flag, port_start, "{port}", at, server)
    return found


def _value_of(argv: list[str], index: int) -> tuple[str, int] | None:
    """The flag that a word is the value of, and where in the word that value starts."""
    word = argv[index]
    if match := re.match(_FLAG, word):
        return (match[1], match.end()) if word.startswith(f"{match[1]}=") else None
    before = re.match(_FLAG, argv[index - 1]) if index else None
    return (before[1], 0) if before and before[0] == argv[index - 1] and not before[0].endswith("=") else None


def _calls(argv: list[str], index: int, word: str, address: Address, service: Service, land: Landscape) -> str:
    """Where an address of the command line points, if it is one of an Ollama to call; else empty."""
    at = land.points_at(address, service.name)
    if not calls_ollama(address, at) or land.owner(address.host, service.name) == service.name:
        return ""
    return "" if _listens(argv, index, word, address) else at


def _flag(argv: list[str], index: int, word: str, address: Address) -> str | None:
    match = re.match(_FLAG, word)
    if match and address.start >= match.end():
        return match[1]
    before = re.match(_FLAG, argv[index - 1]) if index and address.start == 0 else None
    if before and not argv[index - 1].endswith("="):
        return before[1] if len(before[1]) > 2 else None
    inner = re.findall(r"(--[A-Za-z][\w.-]*)[= ]['\"]?$|^([A-Za-z][\w.-]*)=['\"]?$", word[: address.start])
    return next((name for name in inner[-1] if name), None) if inner else None


def _listens(argv: list[str], index: int, word: str, address: Address) -> bool:
    """An address to listen on is none to call."""
    if address.host in ("0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        return True
    flag = _flag(argv, index, word, address) or ""
    return bool(re.search(r"listen|bind|address|entrypoints", flag)) and not names.says_ollama(flag)


def _first_of_each(settings: list[Setting]) -> list[Setting]:
    """In a script, the same server asked at several paths is one setting."""
    kept: dict[tuple[str, str | None, tuple[str, str, int | None]], Setting] = {}
    for setting in settings:
        base = addresses(setting.value or "")[0].base
        kept.setdefault((setting.kind, setting.name, base), setting)
    return list(kept.values())


def in_build(service: Service, source: Source, raw: RawProject, land: Landscape) -> list[Setting]:
    """Build arguments that carry an address of an Ollama, or are named like one."""
    build = service.raw.get("build")
    arguments = build.get("args") if isinstance(build, Mapping) else None
    found = []
    for name, value in (arguments or {}).items():
        text = "" if value is None else str(value)
        mine = [a for a in addresses(text) if calls_ollama(a, land.points_at(a, service.name))]
        named = names.says_ollama(name) and names.is_address(name) and text not in ("true", "false")
        if (mine or named) and not names.is_noise(name):
            written = raw.argument(service.name, name)
            place = written.place if written else raw.key(service.name, "build")
            reason = (
                BUILT_IN
                if mine or not text.startswith("/")
                else ("a build argument, and a path of the app's own front end: it is none to switch")
            )
            found.append(
                Setting(
                    "build_arg",
                    name,
                    redacted(text),
                    None,
                    _at(source, place),
                    reason,
                    "",
                    "ollama" if mine else "",
                    "",
                    tuple(Spot(0, 0, "", land.server(a, land.points_at(a, service.name), service.name)) for a in mine),
                )
            )
    return found


def _at(source: Source, place: Place | None) -> str:
    return f"{source.shown(place.path)}:{place.line}" if place else ""
