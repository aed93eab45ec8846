"""A stack that was made from other files than those meant now is told, and never made anew without a word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.errors import UsageError
from stackctl.ports import Container

FILES, ENV_FILES = "com.docker.compose.project.config_files", "com.docker.compose.project.environment_file"


def other_files(session: Session, stack: Stack, containers: Sequence[Container]) -> dict[str, list[str]]:
    """Variable to files: what the containers were made from, is still there, and is not meant now.

    Where ``stackctl.yaml`` names files itself, or an environment does, another choice is the user's own.
    """
    if stack.environment is not None:
        return {}
    found: dict[str, list[str]] = {}
    chosen = {"COMPOSE_FILE": stack.config.compose.files, "COMPOSE_ENV_FILES": stack.config.compose.env_files}
    meant = {"COMPOSE_FILE": stack.call.files, "COMPOSE_ENV_FILES": stack.call.env_files}
    for variable, label in (("COMPOSE_FILE", FILES), ("COMPOSE_ENV_FILES", ENV_FILES)):
        if chosen[variable]:
            continue
        now = {str(Path(f).resolve()) for f in meant[variable]}
        for container in containers:
            for name in str(container.labels.get(label) or "").split(","):
                ours = ".stackctl" in Path(name).parts
                if not name or ours or str(Path(name).resolve()) in now or name in found.get(variable, ()):
                    continue
                if session.files.read(Path(name), limit=0) is not None:
                    found.setdefault(variable, []).append(name)
    return found


def refuse_other_files(session: Session, stack: Stack, containers: Sequence[Container]) -> None:
    """Raise :class:`UsageError` where going on would make the stack anew without files that it was made from."""
    for variable, names in other_files(session, stack, containers).items():
        key = "files" if variable == "COMPOSE_FILE" else "env_files"
        meant = [*(stack.call.files if key == "files" else stack.call.env_files), *names]
        base = str(session.config_path.parent) + "/"
        listed = ", ".join(dict.fromkeys(name.removeprefix(base) for name in meant))
        raise UsageError(
            f"the stack that is there was made from {', '.join(names)} too, which {stack.file} does not name",
            hint=f"compose: {{{key}: [{listed}]}} in {stack.file}, or set {variable} as the shell that made it did",
            where=stack.file,
        )
