"""Whose state is whose: two project names in one directory are two stacks, and each has a state of its own.

Which project is meant has to be known before Compose is asked, for the state says with which environment to ask it.
So the name is found here by Compose's own order: the shell, ``stackctl.yaml``, env files, ``name:`` in the Compose
files, and at last the directory's name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from stackctl.errors import WrongInput
from stackctl.ports import Files
from stackctl.project.location import default_files, env_files_of_shell, name_from, name_written, read_env_file

DIRECTORY, OTHERS, NAME = ".stackctl", "projects", "project"
LIMIT = 1 << 20


def directory(files: Files, config_path: Path, here: Path, variables: Mapping[str, str]) -> Path:
    """Where the project at hand keeps its state.

    That is ``.stackctl`` for the first project of a directory, and ``.stackctl/projects/NAME`` for any other.
    """
    root = config_path.parent / DIRECTORY
    name = project_name(files, config_path, here, variables)
    key = name_from(name)
    other = root / OTHERS / key if key else root
    if files.names(other):
        return other
    return root if owner(files, root) in ("", name) else other


def owner(files: Files, root: Path) -> str:
    """The project whose state is in ``root`` itself; empty where there is none."""
    if name := _text(files, root / NAME).strip():
        return name
    try:
        state = json.loads(_text(files, root / "state.json") or "{}")
    except (ValueError, RecursionError):
        return ""
    return str(state.get("project") or "") if isinstance(state, dict) else ""


def project_name(files: Files, config_path: Path, here: Path, variables: Mapping[str, str]) -> str:
    """The name that Compose gives the project at hand."""
    if name := variables.get("COMPOSE_PROJECT_NAME"):
        return name
    written = _section(files, config_path)
    if name := str(written.get("project") or ""):
        return name
    base = config_path.parent
    listed = written.get("env_files")
    named = [base / str(n) for n in listed] if isinstance(listed, list) else env_files_of_shell(here, variables)
    known: dict[str, str] = {}
    for path in named or [base / ".env"]:
        known |= read_env_file(_text(files, path))
    known |= variables
    if name := known.get("COMPOSE_PROJECT_NAME"):
        return name
    listed = written.get("files")
    paths = (
        [base / str(n) for n in listed]
        if isinstance(listed, list) and listed
        else default_files(base, known, lambda p: _is_file(files, p))
    )
    for path in reversed(paths):
        if name := name_written(_text(files, path), known):
            return name
    return name_from((paths[0].parent if paths else base).name)


def _section(files: Files, config_path: Path) -> Mapping[str, object]:
    """The ``compose`` section as it is written; what is wrong with it is told where it is loaded."""
    text = _text(files, config_path)
    if "compose" not in text:
        return {}
    from stackctl.config.tree import parse  # noqa: PLC0415  (most files have no such section)

    data = parse(text, config_path.name).data
    section = data.get("compose") if isinstance(data, dict) else None
    return section if isinstance(section, dict) else {}


def _text(files: Files, path: Path) -> str:
    try:
        data = files.read(path, limit=LIMIT)
    except (WrongInput, ValueError):
        return ""
    return data.decode("utf-8", "replace") if data else ""


def _is_file(files: Files, path: Path) -> bool:
    try:
        return files.read(path, limit=0) is not None
    except (WrongInput, ValueError):
        return False
