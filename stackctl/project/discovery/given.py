"""What Compose gives a service as files: its secrets and its configs, whatever their text comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.project.compose import Service
from stackctl.project.discovery.raw import RawProject
from stackctl.project.discovery.source import Source


@dataclass(frozen=True)
class Given:
    """One such file: its name as shown, its text, where the container finds it, and where it is written.

    ``in_file`` where the text is a file of the project, so that a line of it can be named.
    """

    name: str
    text: str = field(repr=False)
    target: str
    place: str
    what: str
    in_file: bool = True


def given_files(service: Service, source: Source, raw: RawProject) -> Iterator[Given]:
    """The secrets and configs of a service, in order; one whose text cannot be read is left out."""
    for kind, folder in (("secrets", "/run/secrets/"), ("configs", "/")):
        defined = source.project.secrets if kind == "secrets" else source.project.configs
        for entry in service.raw.get(kind) or []:
            name = str(entry.get("source") if isinstance(entry, dict) else entry)
            target = str((entry.get("target") if isinstance(entry, dict) else "") or name)
            found = _one(name, kind[:-1], defined.get(name) or {}, service, source, raw)
            if found is not None:
                whole = target if target.startswith("/") else folder + target
                yield Given(found[0], found[1], whole, found[2], f"the {kind[:-1]} `{name}`", in_file=found[3])


def _one(
    name: str, kind: str, definition: Mapping[str, Any], service: Service, source: Source, raw: RawProject
) -> tuple[str, str, str, bool] | None:
    """Name, text, place, and whether it is a file."""
    if path := str(definition.get("file") or ""):
        text = source.reader.text(path)
        return None if text is None else (source.shown(path), text, f"{source.shown(path)}:1", True)
    place = raw.key(service.name, f"{kind}s")
    where = f"{source.shown(place.path)}:{place.line}" if place else ""
    if variable := str(definition.get("environment") or ""):
        text = source.variables.get(variable)
        return None if text is None else (name, text, where, False)
    text = definition.get("content")
    return None if text is None else (name, str(text), where, False)
