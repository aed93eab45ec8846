"""Change an instance in the text of ``stackctl.yaml``, and nothing else in it.

Only the affected spans of the text are replaced, so comments, order, quotes and
line ends stay as they are. Every result is parsed again and compared with the
intended data; a text that cannot be changed safely (aliases, merges) is refused.

ruamel.yaml is no replacement: of this module's 64 tests 18 fail with it. It
moves comments in their column, drops one behind the entry that goes (``# trailing
comment of instances``), reads no tab before a comment, adds to a flow mapping
without its line ends, and writes ``on`` and ``12:34`` bare, which YAML 1.1 reads otherwise.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from stackctl.config.tree import LOADER, parse
from stackctl.errors import UsageError

Value = Any
"""Text, numbers, booleans, and mappings and lists of them."""

_PLAIN = re.compile(r"^[A-Za-z_/][A-Za-z0-9_./@+%=~-]*(?::[A-Za-z0-9_./@+%=~-]+)*$")
_DURATION = re.compile(r"^(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?s)?$")
_REST_OF_ENTRY = re.compile(r"^[ \t]*,?[ \t]*(?:#.*)?\r?\n$")
# YAML 1.1 readers take these for something else than text.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ".", ".nan", ".inf", "-.inf"})


class _Refused(Exception):
    """The text cannot be changed safely; the message says why."""


def add_instance(text: str, name: str, settings: Mapping[str, Value]) -> str:
    """The text with a further instance after the others. ``UsageError`` where it has one of that name."""
    data = _data(text)
    if name in (data.get("instances") or {}):
        raise UsageError(f'there is an instance "{name}" already', hint=f"stackctl instances edit {name} …")
    wanted = copy.deepcopy(data)
    wanted["instances"] = {**(data.get("instances") or {}), name: dict(settings)}
    return _checked(text, wanted, lambda: _Text(text).put(("instances", name), dict(settings)))


def edit_instance(text: str, name: str, changes: Mapping[tuple[str, ...], Value]) -> str:
    """The text with settings of one instance changed.

    ``changes`` maps a path below the instance (``("tls", "ca_file")``) to its new
    value, or to None to take it away. ``UsageError`` where there is no such instance.
    """
    data = _data(text)
    _known(data, name)
    wanted = copy.deepcopy(data)
    for path, value in changes.items():
        _apply(wanted["instances"][name], path, value)

    def rewrite() -> str:
        result = text
        for path, value in changes.items():
            full = ("instances", name, *path)
            result = _Text(result).take(full) if value is None else _Text(result).put(full, value)
        return result

    return _checked(text, wanted, rewrite, removes=None in changes.values())


def remove_instance(text: str, name: str) -> str:
    """The text without an instance; comments above it stay."""
    data = _data(text)
    _known(data, name)
    wanted = copy.deepcopy(data)
    del wanted["instances"][name]
    return _checked(text, wanted, lambda: _Text(text).take(("instances", name)), removes=True)


def _known(data: dict[str, Any], name: str) -> None:
    known = list(data.get("instances") or {})
    if name not in known:
        hint = f"known: {', '.join(known)}" if known else "stackctl instances add NAME URL"
        raise UsageError(f'no instance "{name}"', hint=hint)


def _data(text: str) -> dict[str, Any]:
    tree = parse(text, "")
    if tree.problems or not isinstance(tree.data, dict):
        raise UsageError("stackctl.yaml has to be mended first", hint="stackctl status   (says what is wrong with it)")
    return tree.data


def _apply(target: dict[str, Any], path: tuple[str, ...], value: Value) -> None:
    *parents, last = path
    for part in parents:
        below = target.get(part)
        target[part] = below if isinstance(below, dict) else {}
        target = target[part]
    if value is None:
        target.pop(last, None)
    else:
        target[last] = value


def _checked(text: str, wanted: dict[str, Any], rewrite: Callable[[], str], *, removes: bool = False) -> str:
    try:
        result = rewrite()
    except _Refused as error:
        raise _by_hand(str(error)) from None
    tree = parse(result, "")
    if tree.problems or _bare(tree.data) != _bare(wanted):
        raise _by_hand("it uses aliases or a form that cannot be changed safely")
    if not removes and [line for line in _comments(text) if line not in result]:
        raise _by_hand("a comment would be lost")
    return result


def _bare(value: Any) -> Any:
    """Data without empty mappings and nulls: removing the last key of a mapping may remove the mapping too."""
    if isinstance(value, dict):
        return {k: b for k, v in value.items() if (b := _bare(v)) not in (None, {})}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _comments(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.lstrip().startswith("#")]


def _by_hand(reason: str) -> UsageError:
    return UsageError(f"stackctl.yaml cannot be changed automatically: {reason}", hint="change it by hand")


class _Text:
    """A text with the spans of its nodes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = "\r\n" if "\r\n" in text else "\n"
        # The same reader as for the data: the other one takes no tab before a comment.
        root = yaml.compose(text, Loader=LOADER)
        if not isinstance(root, yaml.MappingNode):
            raise _Refused("it is no mapping")
        self.root = root

    def find(self, path: tuple[str, ...]) -> list[tuple[yaml.Node, yaml.Node]]:
        """The pairs of key and value along ``path``, as far as they are there."""
        found: list[tuple[yaml.Node, yaml.Node]] = []
        node: yaml.Node = self.root
        for part in path:
            pair = next((p for p in getattr(node, "value", []) if isinstance(p, tuple) and p[0].value == part), None)
            if pair is None or not isinstance(node, yaml.MappingNode):
                return found
            found.append(pair)
            node = pair[1]
        return found

    def put(self, path: tuple[str, ...], value: Value) -> str:
        """Set ``path``; mappings that are missing on the way are created."""
        pairs = self.find(path)
        if len(pairs) == len(path):
            return self._replace(*pairs[-1], value)
        for part in reversed(path[len(pairs) + 1 :]):
            value = {part: value}
        key = path[len(pairs)]
        parent = pairs[-1][1] if pairs else self.root
        if not isinstance(parent, yaml.MappingNode) or not parent.value:
            if not pairs:
                raise _Refused("it is empty")
            return self._replace(*pairs[-1], {key: value})
        if parent.flow_style:
            return self._put_flow(parent, f"{_flow(key)}: {_flow(value)}")
        column = parent.value[0][0].start_mark.column
        at = self._after(parent, column)
        block = self._block(key, value, column)
        lead = "" if at == 0 or self.text[at - 1] == "\n" else self.end
        if parent is self.root and at == len(self.text):
            lead += self.end
        return f"{self.text[:at]}{lead}{block}{self.text[at:]}"

    def _put_flow(self, parent: yaml.MappingNode, entry: str) -> str:
        spot = self.text.rindex("}", parent.start_mark.index, parent.end_mark.index)
        (key, value), line = parent.value[-1], self._line_start(spot)
        last = self._last(value, key)
        tail = self.text[last:spot]
        if "#" in tail and line > last and not self.text[line:spot].strip():
            # What follows the last entry is its comment: the new one has a line of its own.
            comma = "," if "," in re.sub(r"#.*", "", tail) else ""
            lead = f"{self.text[:last]}{'' if comma else ','}{self.text[last:line]}"
            return f"{lead}{' ' * key.start_mark.column}{entry}{comma}{self.end}{self.text[line:]}"
        before = self.text[:spot].rstrip()
        comma = "" if before.endswith(",") else ","
        gap = self.text[len(before) : spot].rstrip(" ")
        return f"{before}{comma} {entry}{gap}{self.text[spot:]}"

    def take(self, path: tuple[str, ...]) -> str:
        """Remove ``path`` if it exists. A mapping left empty is removed too, or stays as ``{}``."""
        pairs = self.find(path)
        if len(pairs) < len(path):
            return self.text
        if len(path) > 1:
            parent = pairs[-2][1]
            if len(parent.value) == 1:
                return self.take(path[:-1]) if len(path) > 3 else self._replace(*pairs[-2], {})
        else:
            parent = self.root
        key, value = pairs[-1]
        if isinstance(parent, yaml.MappingNode) and parent.flow_style:
            return self._take_flow(parent, key, value)
        start = self._line_start(key.start_mark.index)
        if self.text[start : key.start_mark.index].strip():
            raise _Refused("a key does not start its line")
        return self.text[:start] + self.text[self._line_end(self._last(value, key)) :]

    def _take_flow(self, parent: yaml.MappingNode, key: yaml.Node, value: yaml.Node) -> str:
        start, stop = self._line_start(key.start_mark.index), self._line_end(value.end_mark.index)
        alone = not self.text[start : key.start_mark.index].strip()
        if alone and _REST_OF_ENTRY.match(self.text[value.end_mark.index : stop]):
            return self.text[:start] + self.text[stop:]
        index = [k for k, _ in parent.value].index(key)
        if index + 1 < len(parent.value):
            return self.text[: key.start_mark.index] + self.text[parent.value[index + 1][0].start_mark.index :]
        return self.text[: parent.value[index - 1][1].end_mark.index] + self.text[value.end_mark.index :]

    def _replace(self, key: yaml.Node, value: yaml.Node, new: Value) -> str:
        flat = not isinstance(new, dict | list) or not new
        if flat or self._inside_flow(key):
            start, stop = value.start_mark.index, self._last(value, key)
            if start == stop:  # nothing was written there
                start = stop = self.text.index(":", key.end_mark.index) + 1
                return f"{self.text[:start]} {_flow(new)}{self.text[stop:]}"
            if "\n" in self.text[key.end_mark.index : start]:
                start = self.text.index(":", key.end_mark.index) + 1
                return f"{self.text[:start]} {_flow(new)}{self.text[stop:]}"
            return f"{self.text[:start]}{_flow(new)}{self.text[stop:]}"
        start, last = self._line_start(key.start_mark.index), self._last(value, key)
        stop = self._line_end(last)
        block = self._block(key.value, new, key.start_mark.column)
        tail = self.text[last:stop].strip()
        if tail.startswith("#"):  # the comment behind the old value moves to the key's line
            block = block.replace(self.end, f"  {tail}{self.end}", 1)
        return f"{self.text[:start]}{block}{self.text[stop:]}"

    def _inside_flow(self, key: yaml.Node) -> bool:
        return any(
            node.start_mark.index < key.start_mark.index < node.end_mark.index
            for node in _mappings(self.root)
            if node.flow_style
        )

    def _block(self, key: str, value: Value, column: int) -> str:
        return "".join(" " * column + line + self.end for line in _lines(key, value, self._step()))

    def _step(self) -> int:
        """Columns that this text indents by."""
        for _, value in self.root.value:
            if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
                column: int = value.value[0][0].start_mark.column
                return column if column > 0 else 2
        return 2

    def _after(self, node: yaml.MappingNode, column: int) -> int:
        """Where a further entry of a block mapping goes: after its last line and the comments that belong to it."""
        key, value = node.value[-1]
        at = self._line_end(self._last(value, key))
        while (line := self.text[at : self._line_end(at)]).lstrip().startswith("#"):
            if len(line) - len(line.lstrip()) <= column and node is not self.root:
                break
            at = self._line_end(at)
        return at

    def _last(self, node: yaml.Node, key: yaml.Node) -> int:
        """Index after the last character of a value; a block mapping's own end is that of what follows it."""
        if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._last(last[1], last[0]) if isinstance(last, tuple) else self._last(last, last)
        stop: int = node.end_mark.index
        if stop < key.end_mark.index:
            raise _Refused("it uses an alias there")
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            return len(self.text[:stop].rstrip())
        return stop

    def _line_start(self, index: int) -> int:
        return self.text.rfind("\n", 0, index) + 1

    def _line_end(self, index: int) -> int:
        found = self.text.find("\n", index)
        return len(self.text) if found < 0 else found + 1


def _mappings(node: yaml.Node) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [node, *(m for _, value in node.value for m in _mappings(value))]
    return [m for item in node.value for m in _mappings(item)] if isinstance(node, yaml.SequenceNode) else []


def _lines(key: str, value: Value, step: int) -> list[str]:
    if isinstance(value, dict) and value:
        below = [line for k, v in value.items() for line in _lines(k, v, step)]
        return [f"{_flow(key)}:", *(" " * step + line for line in below)]
    return [f"{_flow(key)}: {_flow(value)}"]


def _flow(value: Value) -> str:
    """One line of YAML that YAML 1.1 and 1.2 readers take alike."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    text = str(value)
    is_plain = _PLAIN.match(text) and text.lower() not in _WORDS
    if is_plain or (_DURATION.match(text) and text):
        return text
    return json.dumps(text, ensure_ascii=False)
