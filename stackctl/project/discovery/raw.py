"""The Compose files as they are written: which line says what, through ``include``, ``extends``, anchors and merges.

Compose resolves the project; this only gives its answers a place. So nothing
here fails: a file that cannot be parsed has no places.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from stackctl.project.discovery.interpolation import expand
from stackctl.project.discovery.source import Place, Reader

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_FILES = 64
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Written:
    """A value as it stands in a file; None where a list entry names a variable alone."""

    text: str | None
    place: Place


@dataclass
class Layer:
    """What one file says about one service."""

    service: str
    place: Place
    environment: dict[str, Written] = field(default_factory=dict)
    replaces_environment: bool = False
    list_form: bool = False
    env_files: list[Written] = field(default_factory=list)
    arguments: dict[str, Written] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    volumes: list[Written] = field(default_factory=list)
    comments: tuple[int, int] = (0, 0)


@dataclass
class RawProject:
    """Layers of each service, the strongest last, and the text of every file that took part."""

    layers: dict[str, list[Layer]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def environment(self, service: str, name: str) -> Written | None:
        """The entry of ``environment:`` that wins."""
        for layer in reversed(self.layers.get(service, [])):
            if name in layer.environment:
                return layer.environment[name]
            if layer.replaces_environment:
                return None
        return None

    def env_files(self, service: str) -> list[Written]:
        """Environment files in the order in which Compose reads them, as absolute paths."""
        return [entry for layer in self.layers.get(service, []) for entry in layer.env_files]

    def argument(self, service: str, name: str) -> Written | None:
        """The build argument that wins."""
        found = [layer.arguments[name] for layer in self.layers.get(service, []) if name in layer.arguments]
        return found[-1] if found else None

    def key(self, service: str, *names: str) -> Place | None:
        """Where the service says one of ``names`` (the first that it says), else where it begins."""
        for name in names:
            for layer in reversed(self.layers.get(service, [])):
                if name in layer.keys:
                    return layer.keys[name]
        layers = self.layers.get(service, [])
        return layers[0].place if layers else None

    def volume(self, service: str, source: str) -> Place | None:
        """The mount whose source, as written, ends like ``source``."""
        base = posixpath.basename(source)
        for layer in reversed(self.layers.get(service, [])):
            for entry in layer.volumes:
                if entry.text and base in entry.text:
                    return entry.place
        return self.key(service, "volumes")

    def list_form(self, service: str) -> bool | None:
        """Whether the last ``environment:`` is a list; None where there is none."""
        for layer in reversed(self.layers.get(service, [])):
            if layer.environment:
                return layer.list_form
        return None


def load(files: Sequence[str], reader: Reader, variables: Mapping[str, str]) -> RawProject:
    """Read ``files`` and all that they include and extend."""
    return _Loader(reader, variables).run(files)


class _Loader:
    def __init__(self, reader: Reader, variables: Mapping[str, str]) -> None:
        self.reader, self.variables = reader, variables
        self.raw = RawProject()
        self.trees: dict[str, Any] = {}

    def run(self, files: Sequence[str]) -> RawProject:
        base = posixpath.dirname(files[0]) if files else "/"
        for path in files:
            self.file(path, base, 0)
        return self.raw

    def tree(self, path: str) -> Any:
        if path not in self.trees:
            self.trees[path] = None
            text = self.reader.text(path) if len(self.trees) <= _MAX_FILES else None
            if text is not None:
                self.raw.texts[path] = text
                try:
                    self.trees[path] = yaml.compose(text, Loader=_LOADER)
                except (yaml.YAMLError, ValueError):
                    self.trees[path] = None
        return self.trees[path]

    def file(self, path: str, base: str, depth: int) -> None:
        root = mapping_of(self.tree(path))
        if depth > _MAX_DEPTH or not root:
            return
        for entry in _items(root.get("include")):
            self.include(entry, base, depth)
        for name, node in mapping_of(root.get("services")).items():
            layers = self.raw.layers.setdefault(name, [])
            layers.extend(self.service(name, node, path, base, 0))

    def include(self, node: Any, base: str, depth: int) -> None:
        options = mapping_of(node)
        paths = [self.path(n, base) for n in _items(options.get("path"))] if options else [self.path(node, base)]
        home = self.path(options["project_directory"], base) if options.get("project_directory") else ""
        for path in paths:
            self.file(path, home or posixpath.dirname(paths[0]), depth + 1)

    def service(self, name: str, node: Any, path: str, base: str, depth: int) -> Iterator[Layer]:
        said = mapping_of(node)
        extended = said.get("extends")
        if extended is not None and depth <= _MAX_DEPTH:
            options = mapping_of(extended)
            other = _text(options.get("service")) or _text(extended) or name
            where = self.path(options["file"], base) if options.get("file") else path
            home = posixpath.dirname(where) if options.get("file") else base
            source = mapping_of(mapping_of(self.tree(where)).get("services")).get(other)
            if source is not None:
                yield from self.service(name, source, where, home, depth + 1)
        yield self.layer(name, node, said, path, base)

    def layer(self, name: str, node: Any, said: Mapping[str, Any], path: str, base: str) -> Layer:
        at = Place(path, node.start_mark.line + 1)
        layer = Layer(name, at, comments=(node.start_mark.line, node.end_mark.line))
        layer.keys = {key: Place(path, value.start_mark.line + 1) for key, value in said.items()}
        environment = said.get("environment")
        if environment is not None:
            layer.replaces_environment = str(environment.tag) in ("!override", "!reset")
            layer.list_form = isinstance(environment, yaml.SequenceNode)
            layer.environment = _pairs(environment, path) if environment.tag != "!reset" else {}
        for entry in _items(said.get("env_file")):
            written = mapping_of(entry).get("path", entry)
            layer.env_files.append(Written(self.path(written, base), Place(path, written.start_mark.line + 1)))
        arguments = mapping_of(said.get("build")).get("args")
        if arguments is not None:
            layer.arguments = _pairs(arguments, path)
        for entry in _items(said.get("volumes")):
            written = mapping_of(entry).get("source", entry)
            layer.volumes.append(Written(_text(written), Place(path, entry.start_mark.line + 1)))
        return layer

    def path(self, node: Any, base: str) -> str:
        text = expand(_text(node) or "", self.variables)
        if text.startswith("~"):
            text = self.variables.get("HOME", "~") + text[1:]
        return posixpath.normpath(posixpath.join(base, text))


def _text(node: Any) -> str | None:
    if not isinstance(node, yaml.ScalarNode):
        return None
    return None if node.tag.endswith(":null") else str(node.value)


def _items(node: Any) -> list[Any]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return [] if node is None or (_text(node) is None and isinstance(node, yaml.ScalarNode)) else [node]


def mapping_of(node: Any) -> dict[str, Any]:
    """A mapping node with its merge keys applied; empty for anything else."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    own: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value == "<<":
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                merged = {**mapping_of(source), **merged}
        else:
            own[str(key.value)] = value
    return {**merged, **own}


def _pairs(node: Any, path: str) -> dict[str, Written]:
    """Variables in map or list form."""
    found: dict[str, Written] = {}
    for name, value in mapping_of(node).items():
        found[name] = Written(_text(value), Place(path, value.start_mark.line + 1))
    for entry in _items(node) if isinstance(node, yaml.SequenceNode) else []:
        text = _text(entry)
        if text is not None:
            name, equals, value = text.partition("=")
            found[name] = Written(value if equals else None, Place(path, entry.start_mark.line + 1))
    return found
