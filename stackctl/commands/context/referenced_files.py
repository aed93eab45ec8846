"""The files that ``stackctl.yaml`` names: read, or complained about at the place where they are named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stackctl.commands.context.session import Session
from stackctl.config import loading
from stackctl.config.tree import Path as TreePath
from stackctl.config.tree import Tree
from stackctl.errors import Problem, SpecialFile, WrongInput
from stackctl.project.location import env_files_of_shell, read_env_file

Named = tuple[TreePath, str]
DEFAULT_ENV = ".env"


def env_variables(session: Session, tree: Tree, environment: str | None) -> tuple[dict[str, str], list[Problem]]:
    """Variables of the ``env_files`` in force, later ones winning, over ``.env`` where Compose reads it too."""
    base = session.config_path.parent
    named = list(loading.named_files(tree, environment, "env_files", session.variables))
    variables: dict[str, str] = {}
    if all(path[0] != "compose" for path, _ in named):
        for default in env_files_of_shell(session.directory, session.variables) or [base / DEFAULT_ENV]:
            try:
                variables |= _parsed(session.files.read(default) or b"")
            except SpecialFile:
                raise
            except WrongInput:
                # Compose will say so, where it reads the file at all.
                continue
    problems: list[Problem] = []
    for path, name in named:
        data, problem = _read(session, tree, path, name, None)
        if problem:
            problems.append(problem)
        variables |= _parsed(data)
    return variables, problems


def missing_files(session: Session, tree: Tree, environment: str | None) -> list[Problem]:
    """What is wrong with the Compose files and certificates that the file names; its references are replaced."""
    named = [*loading.named_files(tree, environment, "files"), *certificates(tree)]
    return [p for path, name in named if (p := _read(session, tree, path, name, 0)[1]) is not None]


def certificates(tree: Tree) -> Iterator[Named]:
    """The CA files of enabled instances, each with its place."""
    for name, instance in _items(tree.data.get("instances")):
        settings = dict(_items(instance))
        ca_file = dict(_items(settings.get("tls"))).get("ca_file")
        if isinstance(ca_file, str) and ca_file and settings.get("enabled") is not False:
            yield ("instances", name, "tls", "ca_file"), ca_file


def _items(data: object) -> Iterable[tuple[str, object]]:
    return data.items() if isinstance(data, dict) else ()


def _read(session: Session, tree: Tree, path: TreePath, name: str, limit: int | None) -> tuple[bytes, Problem | None]:
    place = tree.position(path)
    if not name or "\x00" in name:  # the models and the tree say so
        return b"", None
    try:
        data = session.files.read(session.config_path.parent / Path(name), limit=limit)
    except WrongInput as error:
        return b"", Problem(session.config_name, *place, error.message, error.hint)
    if data is None:
        hint = "correct the path, or create it; it is relative to stackctl.yaml"
        return b"", Problem(session.config_name, *place, f"no such file: {name}", hint)
    return data, None


def _parsed(data: bytes) -> dict[str, str]:
    return read_env_file(data.decode("utf-8", "replace"))
