"""Where the address stands in a value that holds more than an address: a connection string, JSON, a list. Pure.

``init``, ``up`` and ``switch`` write an address through a template and leave
the rest of the value alone; what is judged and repaired is that part only, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stackctl.project.discovery.address import addresses
from stackctl.project.discovery.names import says_ollama

_WORD = r"(?:[a-z0-9][a-z0-9_-]*\.)?"
_FORM = re.compile(
    rf"(?:(?:\{{{_WORD}scheme\}}://)?\{{{_WORD}host\}}(?::\{{{_WORD}port\}})?|\{{{_WORD}url\}})[^\s\"'`,;|<>\\)\]}}{{]*"
)
_PLACEHOLDER = re.compile(rf"\{{{_WORD}(?:url|scheme|host|port|model|token)\}}")
_PAIR = re.compile(r"\s*[A-Za-z][\w .-]*=(?P<value>.*)", re.DOTALL)
_SECRET = re.compile(r"pass|pwd|secret|token|key|credential|//[^/@\s]+@", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One address as it is written, what stands around it, and its template where one says how it is written."""

    before: str
    text: str
    after: str
    form: str = ""


def parts(value: str, template: str = "") -> list[Part] | None:
    """The addresses within ``value``; None where it is an address (or a list of them) and nothing else.

    ``template`` is how the value is made, where that is known; otherwise its
    own form tells. Empty where no address can be told from the rest.
    """
    if (found := _by_template(value, template)) is not None:
        return found
    if value.lstrip().startswith(("{", "[{", '["')):
        return _in_json(value)
    if pairs := _in_pairs(value):
        return [p for p in pairs if "://" in p.text]
    begin = re.search(r"https?://", value)
    head = re.split(r"[,;]", value[: begin.start()])[-1] if begin else ""
    if re.search(r"[A-Za-z0-9]", head) and not head[-1].isalnum():
        return [Part(value[: a.start], value[a.start : a.end], value[a.end :]) for a in addresses(value) if a.scheme]
    return None


def listed(value: str, count: int) -> list[Part]:
    """The members of a list of addresses, each with the others around it; white space and outer quotes are dropped."""
    text = value[1:-1] if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0] else value
    text = re.sub(r"[\s\x00-\x1f\x7f]+", "", re.split(r"\s+#", text)[0])
    spans = list(re.finditer(r"[^;,]+", text))
    return [Part(text[: m.start()], m[0], text[m.end() :]) for m in spans[:count]]


def holds_secret(text: str) -> bool:
    """Whether what stands around an address may be a secret, which is not to be copied into a file."""
    return _SECRET.search(text) is not None


def _by_template(value: str, template: str) -> list[Part] | None:
    forms = list(_FORM.finditer(template))
    # Quotes and a comment around an address are faults of the value, which a template read off it only copies.
    if not forms or not re.search(r"[A-Za-z0-9]", re.split(r"\s#", _FORM.sub("", template))[0]):
        return None
    pattern, at = "", 0
    for form in forms:
        pattern += f"{_literal(template[at : form.start()])}(.*?)"
        at = form.end()
    match = re.fullmatch(pattern + _literal(template[at:]), value, re.DOTALL)
    if match is None:
        return None
    return [
        Part(value[: match.start(n)], match[n], value[match.end(n) :], form[0]) for n, form in enumerate(forms, start=1)
    ]


def _literal(text: str) -> str:
    """A stretch of a template as a pattern; a model or a token in it may be anything."""
    return ".*?".join(re.escape(piece) for piece in _PLACEHOLDER.split(text))


def _in_json(value: str) -> list[Part]:
    try:
        leaves = list(_leaves(json.loads(value)))
    except (ValueError, RecursionError):
        return []
    named = [text for path, text in leaves if any(says_ollama(key) for key in path)]
    chosen = named or [text for _, text in leaves if "11434" in text or "ollama" in text]
    found, at = [], 0
    for text in chosen or [text for _, text in leaves]:
        start = value.find(f'"{text}"', at)
        if start >= 0:
            at = start + 1 + len(text)
            found.append(Part(value[: start + 1], text, value[at:]))
    return found


def _leaves(document: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string that holds a URL, with the keys that lead to it."""
    if isinstance(document, str):
        if "://" in document:
            yield path, document
    elif isinstance(document, dict):
        for key, item in document.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(document, list):
        for item in document:
            yield from _leaves(item, path)


def _in_pairs(value: str) -> list[Part]:
    """The values of ``Key=value;Key=value``, as ADO.NET and Aspire write it."""
    found, at = [], 0
    if not _PAIR.fullmatch(value.partition(";")[0]):
        return []
    for piece in value.split(";"):
        if match := _PAIR.fullmatch(piece):
            start, end = at + match.start("value"), at + match.end("value")
            found.append(Part(value[:start], value[start:end], value[end:]))
        at += len(piece) + 1
    return found
