"""The first steps of every verb: read the configuration, find the Compose files, resolve the project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stackctl.commands.context.compose_reading import active_services, blame, whole_config
from stackctl.commands.context.referenced_files import env_variables, missing_files
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import read_state
from stackctl.commands.context.trust import consent, digest_of, texts
from stackctl.config import loading
from stackctl.config.interpolate import is_secret_place, names_in
from stackctl.config.models import StackConfig
from stackctl.config.secrets import Secret
from stackctl.config.tree import MAX_BYTES, Tree
from stackctl.config.tree import Path as TreePath
from stackctl.errors import ComposeFileError, ConfigError, Problem, UsageError, WrongInput
from stackctl.ports import ComposeCall
from stackctl.project.compose import ComposeProject
from stackctl.project.location import default_files, env_files_of_shell
from stackctl.project.override import not_a_service
from stackctl.redaction import named_values
from stackctl.threads import together
from stackctl.transaction.state import State

FIXES = "fixes.yaml"


@dataclass(frozen=True)
class Stack:
    """A loaded ``stackctl.yaml`` with the Compose call that it stands for.

    ``variables`` is what ``${NAME}`` may refer to: the process environment over
    the ``env_files``. ``call`` has the user's files only; ``digest`` is that of the file's bytes.
    """

    config: StackConfig
    tree: Tree = field(repr=False)
    environment: str | None
    call: ComposeCall
    variables: Mapping[str, str] = field(repr=False)
    file: str = "stackctl.yaml"
    digest: str = ""

    def locate(self, path: TreePath) -> str | None:
        """``stackctl.yaml:line:column`` of a configuration path."""
        line, column = self.tree.position(path, key=True)
        return f"{self.file}:{line}:{column}"

    def place_of_secret(self, text: str) -> str | None:
        """Where a text with references is written, in a place for secrets."""
        for name, instance in self.tree.data.get("instances", {}).items():
            for path, found in texts(instance, ("instances", name)):
                if found == text and is_secret_place(path):
                    line, column = self.tree.position(path)
                    return f"{self.file}:{line}:{column}"
        return None


def secret_reader(session: Session, stack: Stack) -> Callable[[str], Secret]:
    """Reads references to secrets; one that cannot be read is blamed at the place where it is written."""
    read = session.secrets(stack.variables, session.config_path.parent, consent(session, stack.digest))

    def located(text: str) -> Secret:
        try:
            return read(text)
        except WrongInput as error:
            error.where = error.where or stack.place_of_secret(text)
            raise

    return located


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
    file_variables, problems = env_variables(session, tree, chosen)
    variables = {**file_variables, **session.variables}
    config: StackConfig | None = None
    try:
        config = loading.load(tree, session.config_name, variables)
    except ConfigError as error:
        problems += error.problems
    problems += missing_files(session, tree, chosen)
    if problems or config is None:
        raise ConfigError(list(dict.fromkeys(problems)))
    call = _call(session, config, chosen, base, variables)
    _tell_shell(session, config)
    session.redactor.hide_named(variables.items())
    for place, text in tree.references.items():
        session.redactor.hide_named((str(place[-1]), variables[name]) for name in names_in(text) if name in variables)
    return Stack(config, tree, chosen, call, variables, session.config_name, digest_of(data))


def load_in_force(session: Session) -> tuple[State | None, Stack]:
    """The last verified state, and everything of the user's in the environment that is in force."""
    state = read_state(session)
    return state, load(session, environment=state.environment if state else None)


def _tell_shell(session: Session, config: StackConfig) -> None:
    """Say what this shell says of the project's files and the configuration says otherwise, which counts."""
    said = {"COMPOSE_FILE": config.compose.files, "COMPOSE_ENV_FILES": config.compose.env_files}
    for variable, listed in said.items():
        separator = "," if variable == "COMPOSE_ENV_FILES" else session.variables.get("COMPOSE_PATH_SEPARATOR") or ":"
        base = session.config_path.parent
        now = [(session.directory / n).resolve() for n in session.variables.get(variable, "").split(separator) if n]
        if listed and now and now != [(base / n).resolve() for n in listed]:
            session.reporter.warn(
                f"{variable} of this shell is not heeded: {session.config_name} names {', '.join(listed)}"
            )


def _call(
    session: Session, config: StackConfig, environment: str | None, base: Path, variables: Mapping[str, str]
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
    from_shell = [] if config.compose.env_files else env_files_of_shell(session.directory, session.variables)
    named_env = [*config.compose.env_files, *(added.env_files if added else [])]
    env_files = [*from_shell, *(base / name for name in named_env)]
    directory = files[0].parent
    default_env = directory / ".env"
    if env_files and not (config.compose.env_files or from_shell):  # noqa: SIM102  (the second asks the disk)
        if session.files.read(default_env, limit=0) is not None:
            # `--env-file` replaces Compose's own .env, and an environment is to add to it.
            env_files.insert(0, default_env)
    profiles = [*config.compose.profiles, *(added.profiles if added else [])]
    if named := variables.get("COMPOSE_PROFILES"):
        profiles += [p for p in named.split(",") if p and p not in profiles]
    return ComposeCall(
        directory=directory,
        files=tuple(str(f) for f in files),
        project=session.variables.get("COMPOSE_PROJECT_NAME") or config.compose.project,
        env_files=tuple(str(f) for f in env_files),
        profiles=tuple(profiles),
    )


def resolve_project(session: Session, stack: Stack) -> tuple[ComposeProject, Stack]:
    """Ask Compose for the project with every service of it; the stack comes back with the project's name.

    Raises :class:`ComposeFileError` in Compose's own words, :class:`EngineUnusable`
    where it is too old, and :class:`ConfigError` for consumers that the project has not.
    """
    with together(1) as pool:
        version = pool.submit(session.engine.compose_version)
        try:
            raw = whole_config(session.engine, stack.call)
        except ComposeFileError as error:
            version.result()  # one that is too old does not understand the files
            blame(session, stack.call.files, error)
            raise
        version.result()
    session.redactor.hide_named(named_values(raw.get("services")))
    project = ComposeProject.from_config(
        raw, directory=str(stack.call.directory), active=active_services(raw, stack.call.profiles)
    )
    strangers = [
        Problem(stack.file, *stack.tree.position(("consumers", name), key=True), *not_a_service(name, project))
        for name in stack.config.consumers
        if name not in project.services
    ]
    if strangers:
        raise ConfigError(strangers)
    return project, replace(stack, call=replace(stack.call, project=project.name))


def with_override(session: Session, stack: Stack, override: Path | None = None) -> ComposeCall:
    """The call with ours after the user's files: repairs of ``diagnose --fix`` first, the override last, which wins."""
    path = override or session.state_directory / "override.yaml"
    fixes = session.state_directory / FIXES
    repaired = (str(fixes),) if session.files.read(fixes, limit=0) is not None else ()
    return replace(stack.call, files=(*stack.call.files, *repaired, str(path)))
