"""Unit files and drop-ins as text: the variables they set, and the lines that systemd ignores or misreads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_CURLY = "\u201c\u201d\u2018\u2019"
_VARIABLE = re.compile(r"^(?:export\s+)?((?:OLLAMA|CUDA|HIP|ROCR|HSA|GGML|LLAMA)_[A-Z0-9_]+)\s*=")


@dataclass(frozen=True)
class UnitFile:
    """One file of a unit. ``drop_in`` files lie in a ``.d`` directory; order is the order of reading."""

    path: str
    text: str
    drop_in: bool = False


@dataclass(frozen=True)
class Assignment:
    """One variable and its value, where it was set."""

    name: str
    value: str
    path: str
    line: int

    @property
    def where(self) -> str:
        """``path:line``."""
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Mistake:
    """A line that systemd ignores or misreads. ``reason`` is a clause."""

    path: str
    line: int
    text: str
    reason: str


def logical_lines(text: str) -> Iterable[tuple[int, str]]:
    """Lines with their numbers, continuations joined, comments and blanks left out (systemd.syntax(7))."""
    held, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        stripped = raw.strip()
        if not held and (not stripped or stripped[0] in "#;"):
            continue
        if held and stripped[:1] in ("#", ";"):
            continue
        start = start if held else number
        if stripped.endswith("\\"):
            held += stripped[:-1] + " "
            continue
        yield start, held + stripped
        held = ""
    if held:
        yield start, held


def _settings(files: Iterable[UnitFile]) -> Iterator[tuple[UnitFile, int, str, str]]:
    """Every setting with its file, line number and section."""
    for file in files:
        section = ""
        for number, line in logical_lines(file.text):
            if line.startswith("["):
                section = line
            else:
                yield file, number, section, line


def environment_of(files: Iterable[UnitFile]) -> dict[str, Assignment]:
    """What the files set, the last assignment of a variable winning; an empty ``Environment=`` clears all before it."""
    found: dict[str, Assignment] = {}
    for file, number, section, line in _settings(files):
        key, _, value = line.partition("=")
        if section != "[Service]" or key.strip() != "Environment":
            continue
        if not value.strip():
            found.clear()
        for word in split_words(value):
            name, equals, setting = word.partition("=")
            if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                found[name] = Assignment(name, setting.replace("%%", "%"), file.path, number)
    return found


def mistakes_in(files: Iterable[UnitFile]) -> list[Mistake]:
    """Lines about Ollama's variables that systemd ignores or reads otherwise."""
    return [
        Mistake(file.path, number, line, reason)
        for file, number, section, line in _settings(files)
        if (reason := _reason(section, line))
    ]


def _reason(section: str, line: str) -> str:
    key, _, value = line.partition("=")
    if _VARIABLE.match(line):
        return 'systemd knows no such setting; write Environment="NAME=value"'
    if key.strip() != "Environment" or not re.search(r"(?:OLLAMA|CUDA|HIP|ROCR|HSA|GGML|LLAMA)_", value):
        return ""
    if section != "[Service]":
        return f"it stands in {section or 'no section'}, and only [Service] has an environment"
    if any(c in value for c in _CURLY):
        return "typographic quotes are no quotes to systemd: it ignores the assignment"
    if re.search(r"[A-Z]\s+=|=\s+[^\s\"']", value.strip()):
        return "spaces around the second = split the assignment in two"
    if value.strip().startswith("export "):
        return '"export" is no part of an assignment'
    return ""


def split_words(value: str) -> list[str]:
    """Words of a value, quotes taken off, C escapes inside them resolved (systemd.syntax(7))."""
    words, current, quote, inside = [], "", "", False
    index = 0
    while index < len(value):
        char = value[index]
        if char == "\\" and index + 1 < len(value):
            index += 1
            current += {"n": "\n", "t": "\t", "s": " "}.get(value[index], value[index])
            inside = True
        elif quote:
            if char == quote:
                quote = ""
            else:
                current += char
        elif char in "\"'" and not current:
            quote, inside = char, True
        elif char.isspace():
            if inside or current:
                words.append(current)
            current, inside = "", False
        else:
            current, inside = current + char, True
        index += 1
    if inside or current:
        words.append(current)
    return words
