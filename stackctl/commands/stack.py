"""The first steps of every verb: read the configuration, find the Compose files, resolve the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackctl.commands.ahead import Ahead
from stackctl.commands.session import Session
from stackctl.config import loading
from stackctl.config.models import StackConfig
from stackctl.config.tree import MAX_BYTES
from stackctl.config.tree import Path as TreePath
from stackctl.config.tree import Tree
from stackctl.errors import ComposeFileError, ConfigError, Problem, UsageError
from stackctl.ports import ComposeCall
from stackctl.project.compose import ComposeProject
from stackctl.project.location import default_files, read_env_file

SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIAL")


@dataclass(frozen=True)
class Stack:
    """A loaded ``stackctl.yaml`` with the Compose call that it stands for.

    ``variables`` is what ``${NAME}`` may refer to: the process environment over
    the ``env_files``. ``call`` has the user's files only.
    """

    config: StackConfig
    tree: Tree = field(repr=False)
    environment: str | None
    call: ComposeCall
    variables: Mapping[str, str] = field(repr=False)
    file: str = "stackctl.yaml"

    def locate(self, path: TreePath) -> str | None:
        """``stackctl.yaml:line:column`` of a configuration path."""
        line, column = self.tree.position(path, key=True)
        return f"{self.file}:{line}:{column}"


def load(session: Session, *, environment: str | None = None) -> Stack:
    """Read and validate everything of the user's; raises :class:`ConfigError` or :class:`UsageError`.

    ``environment`` is what was in force last; ``--env`` wins over it, and it
    wins over ``default_environment``.
    """
    path = session.config_path
    data = session.files.read(path, limit=MAX_BYTES)
    if data is None:
        raise UsageError(
            f"no {session.config_name} in {session.directory}",
            hint="stackctl init   (finds who uses Ollama here and writes it)",
        )
    tree = loading.read_tree(data, session.config_name)
    known = loading.environment_names(tree)
    chosen = session.environment or (environment if environment in known else None)
    if session.environment and session.environment not in known:
        raise UsageError(
            f'no environment "{session.environment}" in {session.config_name}',
            hint=f"known: {', '.join(known)}" if known else "there is no `environments:` section in it",
        )
    if chosen is None:
        default = tree.data.get("default_environment")
        chosen = default if isinstance(default, str) and default in known else (known[0] if known else None)
    base = path.parent
    file_variables, missing = _env_files(session, tree, chosen, base)
    variables = {**file_variables, **session.variables}
    try:
        config = loading.load(tree, session.config_name, variables)
    except ConfigError as error:
        raise ConfigError([*error.problems, *missing]) from None
    if missing:
        raise ConfigError(missing)
    call = _call(session, config, tree, chosen, base, variables)
    session.hide([v for k, v in variables.items() if len(v) >= 8 and any(w in k.upper() for w in SECRET_WORDS)])
    return Stack(config, tree, chosen, call, variables, session.config_name)


def _env_files(
    session: Session, tree: Tree, environment: str | None, base: Path
) -> tuple[dict[str, str], list[Problem]]:
    variables: dict[str, str] = {}
    problems: list[Problem] = []
    named = loading.env_file_names(tree, environment)
    for name in named or [".env"]:
        data = session.files.read(base / name)
        if data is None:
            if named:
                place = _place_of(tree, name)
                problems.append(Problem(session.config_name, *place, f"no such file: {name}", "create it, or remove the entry"))
            continue
        variables.update(read_env_file(data.decode("utf-8", "replace")))
    return variables, problems


def _place_of(tree: Tree, value: str) -> tuple[int, int]:
    """Where a list entry with this value stands."""

    def walk(data: Any, path: TreePath) -> TreePath | None:
        items = enumerate(data) if isinstance(data, list) else data.items() if isinstance(data, dict) else ()
        for key, item in items:
            if item == value and isinstance(data, list):
                return (*path, key)
            found = walk(item, (*path, key))
            if found:
                return found
        return None

    return tree.position(walk(tree.data, ()) or ())


def _call(
    session: Session, config: StackConfig, tree: Tree, environment: str | None, base: Path, variables: Mapping[str, str]
) -> ComposeCall:
    added = config.environments.get(environment) if environment else None
    names = [*config.compose.files, *(added.files if added else [])]
    if config.compose.files:
        files = [base / name for name in names]
    else:
        files = default_files(base, variables, lambda p: session.files.read(p, limit=0) is not None)
        files += [base / name for name in names]
    if not files:
        raise ComposeFileError(
            f"no Compose file in {base} nor in its parents", hint="name it in stackctl.yaml: compose: {files: [FILE]}"
        )
    missing = [
        Problem(session.config_name, *_place_of(tree, name), f"no such file: {name}", "correct the path; it is relative to stackctl.yaml")
        for name in names
        if session.files.read(base / name, limit=0) is None
    ]
    if missing:
        raise ConfigError(missing)
    env_files = [base / name for name in [*config.compose.env_files, *(added.env_files if added else [])]]
    directory = files[0].parent
    default_env = directory / ".env"
    if env_files and not config.compose.env_files and session.files.read(default_env, limit=0) is not None:
        # `--env-file` replaces Compose's own .env, and an environment is to add to it.
        env_files.insert(0, default_env)
    profiles = [*config.compose.profiles, *(added.profiles if added else [])]
    if named := variables.get("COMPOSE_PROFILES"):
        profiles += [p for p in named.split(",") if p and p not in profiles]
    return ComposeCall(
        directory=directory,
        files=tuple(str(f) for f in files),
        project=config.compose.project,
        env_files=tuple(str(f) for f in env_files),
        profiles=tuple(profiles),
    )


def resolve_project(
    session: Session, stack: Stack, ahead: Ahead | None = None
) -> tuple[ComposeProject, Stack]:
    """Ask Compose for the project with every service of it; the stack comes back with the project's name.

    Raises :class:`ComposeFileError` in Compose's own words.
    """
    raw = ahead.config(stack.call) if ahead else None
    if raw is None:
        try:
            raw = session.engine.config(stack.call, all_profiles=True)
        except ComposeFileError:
            # With every profile on, services of different profiles may clash that never run together.
            raw = session.engine.config(stack.call)
    project = ComposeProject.from_config(
        raw, directory=str(stack.call.directory), active=active_services(raw, stack.call.profiles)
    )
    return project, replace(stack, call=replace(stack.call, project=project.name))


def active_services(raw: Mapping[str, Any], profiles: Sequence[str]) -> frozenset[str]:
    """Names of the services that ``profiles`` switch on."""
    services: Mapping[str, Any] = raw.get("services") or {}
    return frozenset(
        name
        for name, service in services.items()
        if not (own := (service or {}).get("profiles")) or "*" in profiles or set(own) & set(profiles)
    )


def with_override(session: Session, stack: Stack, override: Path | None = None) -> ComposeCall:
    """The call with our override after the user's files."""
    path = override or session.state_directory / "override.yaml"
    return replace(stack.call, files=(*stack.call.files, str(path)))
