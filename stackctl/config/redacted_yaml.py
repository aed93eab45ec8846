"""YAML with its secrets redacted, each in its place: the rest of the text stays byte for byte, and it stays YAML."""

from __future__ import annotations

import json
from collections.abc import Iterator

import yaml

from stackctl.config.tree import LOADER
from stackctl.redaction import Redactor, is_secret_name

_Change = tuple[int, int, str]


def redact_yaml(text: str, redactor: Redactor) -> str:
    """``text`` as ``redactor`` leaves it; what it takes out of a scalar leaves that scalar in double quotes.

    An unquoted mask would be an alias (``*``), with which nothing reads the text again. What is no YAML, such as a
    list of names, is redacted as plain text.
    """
    if redactor.shows:
        return text
    try:
        roots = list(yaml.compose_all(text, Loader=LOADER))
    except yaml.YAMLError:
        return redactor.text(text)
    changes = sorted(change for root in roots if root is not None for change in _changes(root, "", text, redactor))
    kept, at = [], 0
    for start, end, new in changes:
        if start < at:  # an alias: its anchor is changed already
            continue
        kept += [text[at:start], new]
        at = end
    return "".join([*kept, text[at:]])


def _changes(node: yaml.Node, name: str, text: str, redactor: Redactor, before: str = "") -> Iterator[_Change]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _changes(key, "", text, redactor)
            word = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            yield from _changes(value, "" if word == "secrets" else word, text, redactor)
    elif isinstance(node, yaml.SequenceNode):
        previous = ""
        for item in node.value:
            yield from _changes(item, name, text, redactor, previous)
            previous = str(item.value) if isinstance(item, yaml.ScalarNode) else ""
    elif isinstance(node, yaml.ScalarNode):
        yield from _changed(node, name if is_secret_name(name) else redactor.option(before), text, redactor)


def _changed(node: yaml.ScalarNode, name: str, text: str, redactor: Redactor) -> Iterator[_Change]:
    plain = node.style is None and node.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:int")
    old = node.value if not plain else {"true": True, "false": False}.get(node.value.lower(), node.value)
    new = redactor.scalar(old, name)
    if new == old:
        return
    start, end = node.start_mark.index, node.end_mark.index
    if node.style in ("|", ">"):
        end = len(text[:end].rstrip("\n"))
    yield start, end, json.dumps(new, ensure_ascii=False)
