"""YAML text to plain data with the position of every key and value.

Read from the event stream, so that depth, size and aliases are bounded before
anything is built. Scalars follow YAML 1.2's core schema: ``on``, ``no`` and
``12:34`` are text, not a bool, a bool and a number of base 60.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from stackctl.errors import Problem

Path = tuple[str | int, ...]
MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_NODES = 100_000
MAX_DIGITS = 4000

_INT = re.compile(r"^[-+]?[0-9]+$")
_BASED = re.compile(r"^0o[0-7]+$|^0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_TAGS = (None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq")))
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Tree:
    """Plain data, and where each path stands: ``(line, column)``, both from 1."""

    data: Any = None
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    references: dict[Path, str] = field(default_factory=dict)
    """Templates of consumers with a ``${NAME}`` in them, as they were written."""

    def position(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Where ``path`` stands, or its nearest parent; the key itself with ``key``."""
        if key and path in self.keys:
            return self.keys[path]
        while path:
            if path in self.values:
                return self.values[path]
            path = path[:-1]
        return self.values.get((), (1, 1))


@dataclass
class _Node:
    value: Any
    line: int
    column: int
    keys: dict[str | int, tuple[int, int]] = field(default_factory=dict)
    size: int = 1


class _Stop(Exception):
    def __init__(self, mark: Any, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.mark, self.message, self.hint = mark, message, hint


def parse(text: str, file: str) -> Tree:
    """Parse one document. Never raises: what is wrong stands in ``problems``, and then ``data`` is partial or None."""
    tree = Tree()
    builder = _Builder(tree, file)
    try:
        root = builder.document(text)
    except _Stop as stop:
        tree.problems.append(builder.problem(stop.mark, stop.message, stop.hint))
        return tree
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f" {error.context}" if error.context else ""
        message = f"not valid YAML: {error.problem or 'syntax error'}{context}"
        tree.problems.append(builder.problem(mark, message, _mend(text, mark)))
        return tree
    except yaml.reader.ReaderError as error:
        line, column = _offset(text, error.position)
        tree.problems.append(Problem(file, line, column, f"not valid YAML: {error.reason}"))
        return tree
    if root is not None:
        _spread(root, (), tree)
    return tree


def _mend(text: str, mark: Any) -> str:
    """How to mend what YAML stumbles over most: a tab that indents, a sign that text may not begin with."""
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    at = line[mark.column : mark.column + 1] if mark else ""
    if at == "\t":
        return "indent with spaces: YAML allows no tab here"
    return f"put text that begins with {at} in quotes" if at in ("@", "`") and at else ""


def _offset(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1


class _Builder:
    def __init__(self, tree: Tree, file: str) -> None:
        self.tree, self.file = tree, file
        self.anchors: dict[str, _Node] = {}
        self.count = 0

    def problem(self, mark: Any, message: str, hint: str = "") -> Problem:
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return Problem(self.file, line, column, message, hint)

    def complain(self, mark: Any, message: str, hint: str = "") -> None:
        """Note what is wrong and read on, so that all of it is reported at once."""
        self.tree.problems.append(self.problem(mark, message, hint))

    def document(self, text: str) -> _Node | None:
        events = yaml.parse(text, Loader=LOADER)
        root: _Node | None = None
        seen = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                seen += 1
                if seen > 1:
                    self.complain(
                        event.start_mark, "a second YAML document; stackctl.yaml is one document", "remove this line"
                    )
                    break
            elif isinstance(event, yaml.NodeEvent):
                root = self.node(event, events, 0)
        return root

    def node(self, event: Any, events: Any, depth: int) -> _Node:
        mark = event.start_mark
        if depth > MAX_DEPTH:
            raise _Stop(mark, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                self.complain(mark, f'the alias "*{event.anchor}" has no anchor before it')
                return _Node(None, mark.line + 1, mark.column + 1)
            node = self.anchors[event.anchor]
            self.spend(node.size, mark)
            return node
        self.spend(1, mark)
        node = _Node(None, mark.line + 1, mark.column + 1)
        if event.tag not in _TAGS:
            name = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.complain(mark, f'the tag "{name}" has no meaning here', "remove it")
        if isinstance(event, yaml.ScalarEvent):
            node.value = _scalar(event)
            if "\x00" in event.value:
                self.complain(mark, "the text holds a NUL character")
        elif isinstance(event, yaml.SequenceStartEvent):
            node.value = []
            while not isinstance(child := next(events), yaml.SequenceEndEvent):
                item = self.node(child, events, depth + 1)
                node.size += item.size
                node.value.append(item)
        else:
            self.mapping(node, events, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def mapping(self, node: _Node, events: Any, depth: int) -> None:
        own: dict[Any, _Node] = {}
        merged: dict[Any, _Node] = {}
        merged_keys: dict[str | int, tuple[int, int]] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            mark = event.start_mark
            key = self.node(event, events, depth + 1)
            value = self.node(next(events), events, depth + 1)
            node.size += value.size + 1
            if not isinstance(key.value, str):
                self.complain(
                    mark,
                    "a key must be plain text",
                    f'"{event.value}": …' if isinstance(event, yaml.ScalarEvent) else "",
                )
            elif key.value == "<<":
                for source in value.value if isinstance(value.value, list) else [value]:
                    if isinstance(source.value, dict):
                        merged = {**source.value, **merged}
                        merged_keys = {**source.keys, **merged_keys}
                    else:
                        self.complain(mark, "`<<` merges mappings only")
            elif key.value in own:
                first = node.keys[key.value]
                self.complain(
                    mark, f'duplicate key "{key.value[:60]}" (first at line {first[0]})', "remove one of the two"
                )
            else:
                own[key.value] = value
                node.keys[key.value] = (mark.line + 1, mark.column + 1)
        node.value = {**merged, **own}
        node.keys = {**merged_keys, **node.keys}

    def spend(self, size: int, mark: Any) -> None:
        self.count += size
        if self.count > MAX_NODES:
            raise _Stop(mark, f"more than {MAX_NODES} values once aliases are expanded")


def _scalar(event: Any) -> Any:
    text = event.value
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INT.match(text):
        # Python refuses to print longer ones; nothing here takes such a number anyway.
        return int(text) if len(text) < MAX_DIGITS else text
    if _BASED.match(text):
        return int(text, 0)
    return float(text) if _FLOAT.match(text) else text


def _spread(node: _Node, path: Path, tree: Tree) -> None:
    tree.values[path] = (node.line, node.column)
    for key, at in node.keys.items():
        tree.keys[(*path, key)] = at
    if isinstance(node.value, list):
        for index, item in enumerate(node.value):
            _spread(item, (*path, index), tree)
    elif isinstance(node.value, dict):
        for key, item in node.value.items():
            _spread(item, (*path, key), tree)
    if not path:
        tree.data = _plain(node)


def _plain(node: _Node) -> Any:
    if isinstance(node.value, list):
        return [_plain(item) for item in node.value]
    if isinstance(node.value, dict):
        return {key: _plain(item) for key, item in node.value.items()}
    return node.value
