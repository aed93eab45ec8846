"""Compose's own verbs, with the right files, environment and profiles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from stackctl.commands.context.compose_reading import blame
from stackctl.commands.context.project_loader import Stack, load_in_force, resolve_project, with_override
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import OVERRIDE, read_text, workspace
from stackctl.commands.reconcile.prepare import compose_environment, secret_values
from stackctl.commands.reconcile.recover import notice, recover, unfinished
from stackctl.config.redacted_yaml import redact_yaml
from stackctl.errors import ComposeFileError, ExpectedFailure
from stackctl.outcome import Outcome, Verbatim
from stackctl.ports import ComposeCall

CHANGES = frozenset(
    {"down", "restart", "up", "start", "stop", "rm", "kill", "create", "run", "scale", "pause", "unpause"}
)

SHOWS_VALUES = frozenset({"config", "convert"})
WANTS_NO_VALUES = SHOWS_VALUES | {
    *("attach", "cp", "down", "events", "exec", "images", "kill", "logs", "ls", "pause", "port", "ps", "pull"),
    *("restart", "rm", "start", "stats", "stop", "top", "unpause", "version", "volumes", "wait"),
}
"""Commands that make no container and build nothing: Compose reads the project for them, and no value matters."""

TAKES_VALUE = frozenset(
    {"--ansi", "--env-file", "--file", "-f", "--parallel", "--profile", "--progress", "--project-directory"}
    | {"--project-name", "-p"}
)
"""Options of Compose's own whose value is the next word."""


def passthrough(session: Session, arguments: Sequence[str]) -> Outcome:
    """Run ``docker compose ARGUMENTS`` on the stack as it is in force; its exit code is ours.

    What changes the stack holds the project's lock and undoes an unfinished
    transaction first; what only looks says that there is one.
    """
    state, stack = load_in_force(session)
    verb = _verb(arguments)
    if state is not None and state.project == session.project_name:  # else the files say it, and Compose reads them
        stack = replace(stack, call=replace(stack.call, project=stack.call.project or state.project))
    if verb in CHANGES:
        with workspace(session, f"compose {verb}"):
            if unfinished(session):
                resolved, stack = resolve_project(session, stack)
                recover(session, stack, resolved)
            return _run(session, stack, arguments)
    if found := unfinished(session):
        session.reporter.warn(notice(session, found))
    return _run(session, stack, arguments)


def _verb(arguments: Sequence[str]) -> str:
    """The Compose command among the arguments, behind Compose's own options; empty where there is none."""
    words = iter(arguments)
    for word in words:
        if word in TAKES_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _call(session: Session, stack: Stack, arguments: Sequence[str]) -> ComposeCall:
    override = read_text(session, OVERRIDE)
    call = with_override(session, stack) if override is not None else stack.call
    # By its place: after an option of Compose's own, a word may be that option's value, and the verb comes later.
    values = not arguments or arguments[0] not in WANTS_NO_VALUES
    return replace(call, variables=compose_environment(session, stack, override, with_secrets=values))


def _run(session: Session, stack: Stack, arguments: Sequence[str]) -> Outcome:
    session.engine.compose_version()
    call = _call(session, stack, arguments)
    shows_values = _verb(arguments) in SHOWS_VALUES
    if not shows_values:
        session.engine.info()  # Compose itself waits for good for an engine that hangs
    if session.as_json:
        return _as_json(session, stack, call, arguments)
    if shows_values:
        return _masked(session, stack, call, arguments)
    done = session.engine.compose(call, list(arguments), attached=True)
    if done.code:
        # Its words went to the terminal. Whether a file is to blame is a question of its own.
        _refused(session, stack, call)
    return Outcome("stackctl.compose/1", {"code": done.code}, code=done.code)


def _masked(session: Session, stack: Stack, call: ComposeCall, arguments: Sequence[str]) -> Outcome:
    """What prints every variable with its value, secrets redacted."""
    session.hide(secret_values(session, stack))
    done = session.engine.compose(call, list(arguments))
    for line in done.error_text.splitlines():
        session.reporter.note(line)
    return Outcome(
        "stackctl.compose/1", {"code": done.code}, [Verbatim(redact_yaml(done.text, session.redactor))], code=done.code
    )


def _refused(session: Session, stack: Stack, call: ComposeCall) -> None:
    """Raise :class:`ComposeFileError` where Compose cannot read the project at all."""
    try:
        session.engine.config(call)
    except ComposeFileError as error:
        blame(session, call.files, error)
        if call.files != stack.call.files and _reads(session, stack.call):
            error.hint = "your own files are fine: `stackctl up` writes the override anew, `stackctl detach` removes it"
        raise


def _reads(session: Session, call: ComposeCall) -> bool:
    try:
        session.engine.config(call)
    except ComposeFileError:
        return False
    return True


def _as_json(session: Session, stack: Stack, call: ComposeCall, arguments: Sequence[str]) -> Outcome:
    verb = _verb(arguments)
    extra = ["--format", "json"] if verb == "ps" and "--format" not in arguments else []
    if verb in SHOWS_VALUES:
        session.hide(secret_values(session, stack))
    done = session.engine.compose(call, [*arguments, *extra])
    if done.code:
        _refused(session, stack, call)
        reason = done.error_text.strip().splitlines()
        raise ExpectedFailure(f"docker compose {verb} failed: {reason[-1] if reason else done.code}")
    if verb == "ps":
        rows = [json.loads(line) for line in done.text.splitlines() if line.strip()]
        return Outcome("stackctl.ps/1", {"containers": rows})
    return Outcome(
        f"stackctl.{verb or 'compose'}/1",
        {"code": done.code, "output": redact_yaml(done.text, session.redactor) if verb in SHOWS_VALUES else done.text},
    )
