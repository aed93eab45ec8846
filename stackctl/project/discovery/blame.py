"""Where in the files the fault lies that Compose names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Any

import yaml

from stackctl.project.discovery.raw import load, mapping_of
from stackctl.project.discovery.source import Place, Reader

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PATH = re.compile(r"\bservices\.([A-Za-z0-9._-]+)")
_SERVICE = re.compile(r"\bservice \"([^\"]+)\"")
_WORD = re.compile(
    r"'([^'\s]+)' not allowed|undefined (?:service|volume|network|secret|config) \"?([\w.-]+)|variable (\w+) is missing"
)
_FILE = re.compile(r"(?:env file|open|stat) (\S+?)(?: not found|: )")


def place_of(message: str, files: Sequence[str], reader: Reader) -> Place | None:
    """The line that Compose's message is about, as far as the files show it; None where nothing does."""
    for path in files:
        place = _broken(path, reader)
        if place is not None:
            return place
    raw = load(files, reader, {})
    word = next((g for match in _WORD.finditer(message) for g in match.groups() if g), "")
    for name, rest in _named(message, set(raw.layers)):
        layers = raw.layers.get(name, [])
        inside = [_mentions(layer.place.path, layer.comments, word, raw.texts) for layer in layers] if word else []
        found = next((p for p in inside if p), None)
        return found or raw.key(name, *rest) if layers else None
    for missing in _FILE.findall(message):
        for path, text in raw.texts.items():
            found = _mentions(path, (0, len(text)), posixpath.basename(missing), raw.texts)
            if found:
                return found
    mentioned = [p for p in raw.texts if posixpath.basename(p) in message]
    return Place(mentioned[0], 1) if mentioned else None


def _broken(path: str, reader: Reader) -> Place | None:
    text = reader.text(path)
    if text is None:
        return None
    try:
        root: Any = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Place(path, mark.line + 1 if mark else 1)
    except (yaml.YAMLError, ValueError):
        return Place(path, 1)
    return None if mapping_of(root) else Place(path, 1)


def _named(message: str, known: set[str]) -> list[tuple[str, list[str]]]:
    """Services that the message names, with the key below them; longest known name first, since names hold dots."""
    found = []
    for match in _PATH.finditer(message):
        parts = match[1].strip(".").split(".")
        for size in range(len(parts), 0, -1):
            if ".".join(parts[:size]) in known:
                found.append((".".join(parts[:size]), parts[size : size + 1]))
                break
    return found + [(m, []) for m in _SERVICE.findall(message) if m in known]


def _mentions(path: str, lines: tuple[int, int], word: str, texts: dict[str, str]) -> Place | None:
    for offset, line in enumerate(texts.get(path, "").splitlines()[lines[0] : lines[1]]):
        if re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", line):
            return Place(path, lines[0] + offset + 1)
    return None
