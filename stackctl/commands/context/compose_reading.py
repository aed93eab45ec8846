"""Asking Compose for the whole of a project, services of inactive profiles too."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stackctl.commands.context.session import Session
from stackctl.errors import ComposeFileError
from stackctl.ports import ComposeCall, Engine


def whole_config(
    engine: Engine, call: ComposeCall, *, on_warnings: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """The project with the services of every profile. Raises :class:`ComposeFileError` in Compose's own words.

    Services of different profiles may clash that never run together (one
    container name for two, a network that only one of them lacks). Where the
    profiles in force resolve, the rest is read without Compose's checks.
    ``on_warnings`` is as for ``Engine.config``.
    """
    try:
        return engine.config(call, all_profiles=True, on_warnings=on_warnings)
    except ComposeFileError:
        engine.config(call)
        return engine.config(call, all_profiles=True, unchecked=True, on_warnings=on_warnings)


def blame(session: Session, files: Sequence[str], error: ComposeFileError) -> None:
    """Where Compose names no line, the place in ``files`` that its words are about."""
    if re.search(r":\d+$", error.where or ""):
        return
    from stackctl.commands.context.compose_files import FileReader  # noqa: PLC0415  (the finder takes a while to load)
    from stackctl.project.discovery.blame import place_of  # noqa: PLC0415

    place = place_of(error.message, files, FileReader(session.files))
    line = re.search(r"\bline (\d+)", error.message)
    if place is not None:
        error.where = f"{_near(session, place.path)}:{place.line}"
    elif len(files) == 1:
        error.where = _near(session, files[0]) + (f":{line[1]}" if line else "")


def _near(session: Session, path: str) -> str:
    """``path`` as seen from where the user is, where that is not far off."""
    near = posixpath.relpath(path, str(session.directory))
    return path if near.startswith("../..") else near


def active_services(raw: Mapping[str, Any], profiles: Sequence[str]) -> frozenset[str]:
    """Names of the services that ``profiles`` switch on."""
    # Compose takes "no profile" for the profile with the empty name (compose-go, cli/options.go: WithDefaultProfiles).
    chosen = set(profiles) or {""}
    services: Mapping[str, Any] = raw.get("services") or {}
    return frozenset(
        name
        for name, service in services.items()
        if not (own := (service or {}).get("profiles")) or "*" in chosen or set(own) & chosen
    )
