"""Compose's interpolation, as far as a path or a default needs it (compose-go: ``template/template.go``)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", "-", ":?", "?", ":+", "+")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with every ``$NAME`` and ``${NAME…}`` replaced; what is not set and has no default is empty."""
    out, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        out.append(text[at:dollar])
        if text.startswith("$$", dollar):
            out.append("$")
            at = dollar + 2
        elif text.startswith("${", dollar) and (end := _closing(text, dollar + 2)) >= 0:
            out.append(_braced(text[dollar + 2 : end], variables))
            at = end + 1
        elif match := _NAME.match(text, dollar + 1):
            out.append(variables.get(match[0], ""))
            at = match.end()
        else:
            out.append("$")
            at = dollar + 1
    return "".join([*out, text[at:]])


def references(text: str) -> list[str]:
    """Names of the variables that ``text`` refers to, nested defaults too, in order."""
    plain = text.replace("$$", "")
    return [a or b for a, b in re.findall(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)|([A-Za-z_][A-Za-z0-9_]*))", plain)]


def _closing(text: str, at: int) -> int:
    depth = 1
    for index in range(at, len(text)):
        if text.startswith("${", index):
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if not depth:
                return index
    return -1


def _braced(inner: str, variables: Mapping[str, str]) -> str:
    match = _NAME.match(inner)
    if match is None:
        return ""
    value, rest = variables.get(match[0]), inner[match.end() :]
    for operator in _OPERATORS:
        if rest.startswith(operator):
            word = rest[len(operator) :]
            given = bool(value) if operator.startswith(":") else value is not None
            if operator.endswith("+"):
                return expand(word, variables) if given else ""
            if given:
                return value or ""
            return expand(word, variables) if operator.endswith("-") else ""
    return value or ""
