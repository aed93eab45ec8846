"""What the finder is given: the resolved project and a way to the texts that it was made from."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stackctl.project.compose import ComposeProject

MAX_TEXT = 1 << 20


class Reader(Protocol):
    """Texts by absolute path. Neither method raises: what cannot be read is not there."""

    def text(self, path: str) -> str | None:
        """The text of a file, at most ``MAX_TEXT`` bytes of it, or None."""

    def names(self, directory: str) -> list[str]:
        """Names in a directory, sorted, directories with a slash at the end; empty where there is none."""


@dataclass(frozen=True)
class Texts:
    """A reader over values, for tests and for what was read already."""

    files: Mapping[str, str]

    def text(self, path: str) -> str | None:
        """The text under exactly this path."""
        return self.files.get(path)

    def names(self, directory: str) -> list[str]:
        """Names below ``directory``, as the paths imply them."""
        prefix = directory.rstrip("/") + "/"
        found = set()
        for path in self.files:
            if path.startswith(prefix):
                head, slash, _ = path.removeprefix(prefix).partition("/")
                found.add(head + slash)
        return sorted(found)


@dataclass(frozen=True)
class Source:
    """All that discovery works on.

    ``project`` is resolved with every profile; ``files`` are the absolute paths
    of the Compose files in ``-f`` order; ``home`` is the directory that names in
    the output are relative to; ``variables`` is what Compose interpolates with;
    ``is_machine`` tells whether a name or an address is one of the machine that the engine runs on.
    """

    project: ComposeProject
    files: tuple[str, ...]
    reader: Reader
    home: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_machine: Callable[[str], bool] = field(default=lambda _host: False, repr=False)

    def shown(self, path: str) -> str:
        """``path`` as the user would write it from ``home``."""
        relative = posixpath.relpath(path, self.home)
        return path if relative.startswith("../../..") else relative


@dataclass(frozen=True, order=True)
class Place:
    """A line in a text; ``line`` counts from 1."""

    path: str
    line: int
