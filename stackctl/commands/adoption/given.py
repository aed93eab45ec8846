"""Which project is adopted: what the command line, a ``stackctl.yaml`` that is there already, and the shell say.

What only this shell says (``COMPOSE_FILE``, ``COMPOSE_ENV_FILES``, ``COMPOSE_PROFILES``, ``COMPOSE_PROJECT_NAME``) is
written down, for the next shell will not say it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackctl.commands.context.compose_files import compose_files, compose_variables
from stackctl.commands.context.session import Session
from stackctl.config.tree import parse
from stackctl.ports import ComposeCall
from stackctl.project.discovery.config_text import Origin
from stackctl.project.location import env_files_of_shell


@dataclass(frozen=True)
class Given:
    """The call that resolves the project, what its files interpolate from, and what is to be written down of it."""

    call: ComposeCall
    variables: Mapping[str, str]
    origin: Origin


def given(session: Session, named: Sequence[str], existing: bytes | None) -> Given:
    """The project that is meant here. Raises what :func:`compose_files` raises."""
    written = _section(existing, session.config_name)
    base = session.config_path.parent
    env_files = [base / name for name in _texts(written, "env_files")]
    env_files = env_files or env_files_of_shell(session.directory, session.variables)
    variables = compose_variables(session, session.directory, env_files)
    listed = [*named] or _texts(written, "files")
    paths = compose_files(session, listed, variables)
    recorded = bool(listed) or bool(session.variables.get("COMPOSE_FILE"))
    profiles = _texts(written, "profiles")
    profiles += [p for p in _names(session.variables.get("COMPOSE_PROFILES")) if p not in profiles]
    active = [*profiles, *(p for p in _names(variables.get("COMPOSE_PROFILES")) if p not in profiles)]
    project = session.variables.get("COMPOSE_PROJECT_NAME") or str(written.get("project") or "")
    call = ComposeCall(
        directory=paths[0].parent,
        files=tuple(str(p) for p in paths),
        project=project or None,
        env_files=tuple(str(p) for p in env_files),
        profiles=tuple(active),
    )
    origin = Origin(
        project=project,
        files=tuple(_relative(session, p) for p in paths) if recorded else (),
        env_files=tuple(_relative(session, p) for p in env_files),
        profiles=tuple(profiles),
    )
    return Given(call, variables, origin)


def _section(existing: bytes | None, name: str) -> Mapping[str, Any]:
    """The ``compose`` section of a ``stackctl.yaml``; empty where there is none."""
    data = parse(existing.decode("utf-8", "replace"), name).data if existing is not None else None
    section = data.get("compose") if isinstance(data, dict) else None
    return section if isinstance(section, dict) else {}


def _texts(section: Mapping[str, Any], key: str) -> list[str]:
    found = section.get(key)
    return [str(f) for f in found] if isinstance(found, list) else []


def _names(text: str | None) -> list[str]:
    return [name for part in (text or "").split(",") if (name := part.strip())]


def _relative(session: Session, path: Path) -> str:
    """``path`` as ``stackctl.yaml`` is to say it: relative to its own directory, where that is not far off."""
    relative = posixpath.relpath(str(path), str(session.config_path.parent))
    return str(path) if relative.startswith("../../../..") else relative
