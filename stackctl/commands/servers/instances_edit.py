"""``stackctl instances add|edit|remove``: change an entry of ``stackctl.yaml``, the rest of the file untouched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stackctl.commands.context.project_loader import Stack, load
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import workspace_soon
from stackctl.config import edit, loading
from stackctl.config.secrets import SecretRef
from stackctl.config.tree import MAX_BYTES, parse
from stackctl.config.url import OllamaUrl, UrlError, without_credentials
from stackctl.errors import ConfigError, ExpectedFailure, Problem, UsageError
from stackctl.outcome import Line, Outcome

Changes = Mapping[tuple[str, ...], Any]
"""New values by their path below the instance; None removes the setting."""


def add(session: Session, name: str, url: str, settings: Changes) -> Outcome:
    """Add an instance. Raises :class:`UsageError` or :class:`ConfigError`, and then nothing is written."""
    entry: dict[str, Any] = {"url": _url(url)}
    for path, value in settings.items():
        here = entry
        for part in path[:-1]:
            here = here.setdefault(part, {})
        here[path[-1]] = value
    return _change(session, name, "added", settings, lambda text: edit.add_instance(text, name, entry))


def change(session: Session, name: str, changes: Changes) -> Outcome:
    """Change settings of one instance."""
    if not changes:
        raise UsageError("nothing to change", hint="stackctl instances edit --help")
    if ("url",) in changes:
        changes = {**changes, ("url",): _url(str(changes[("url",)]))}
    return _change(session, name, "changed", changes, lambda text: edit.edit_instance(text, name, changes))


def remove(session: Session, name: str, *, yes: bool) -> Outcome:
    """Remove an instance from the file, unless a profile still names it."""
    stack = load(session)
    users = [p for p, profile in stack.config.profiles.items() if name in profile.use or profile.fallback == name]
    if users:
        raise UsageError(
            f'the profile "{users[0]}" uses the instance "{name}"', hint=f"take it out of profiles.{users[0]} first"
        )
    if name in stack.config.instances and not yes and not session.reporter.ask(f"Remove {name} from {stack.file}?"):
        raise UsageError("not removed: nobody said yes", hint="add --yes")
    return _change(session, name, "removed", {}, lambda text: edit.remove_instance(text, name))


def _url(text: str) -> str:
    try:
        OllamaUrl.parse(text)
    except UrlError as error:
        raise UsageError(f"{without_credentials(text)}: {error.message}", hint=error.corrected) from None
    return text


def _change(session: Session, name: str, done: str, settings: Changes, rewrite: Any) -> Outcome:
    try:
        json.dumps([name, *settings.values()], ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise UsageError("a name or a value is no UTF-8 text") from None
    for path, value in settings.items():
        if path[-1] in ("bearer", "password") and isinstance(value, str):
            _refuse_literal_secret(path, value)
    with workspace_soon(session, f"instances: {name} {done}"):
        stack = load(session)
        data = _read(session)
        mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
        text = rewrite(loading.decode(data, stack.file))
        _refuse_invalid(stack, text)
        if _read(session) != data:  # an editor does not know our lock
            raise ExpectedFailure(
                f"{stack.file} was changed by somebody else meanwhile; nothing was written", hint="run it again"
            )
        session.files.write(session.config_path, mark + text.encode(), mode=_mode(session))
    instance = loading.read_tree(text.encode(), stack.file).data.get("instances") or {}
    data_out = {"name": name, "done": done, "instance": instance.get(name)}
    next_steps: Sequence[str] = () if done == "removed" else [f"stackctl instances test {name}"]
    return Outcome("stackctl.instances-edit/1", data_out, [Line(f"{name} {done} in {stack.file}", "ok")], next_steps)


def _read(session: Session) -> bytes:
    return session.files.read(session.config_path, limit=MAX_BYTES) or b""


def _refuse_literal_secret(path: tuple[str, ...], value: str) -> None:
    try:
        SecretRef.parse(value)
    except ValueError as error:
        raise UsageError(
            f"{path[-1]}: {error}", hint="'${NAME}' in single quotes, so that the shell leaves it alone"
        ) from None


def _refuse_invalid(stack: Stack, text: str) -> None:
    """Raise unless the new text is valid. Problems name no line, since the text is not in the file yet."""
    tree = parse(text, stack.file)
    try:
        loading.load(tree, stack.file, stack.variables)
    except ConfigError as error:
        problems = [Problem(stack.file, 0, 0, p.message, p.hint) for p in error.problems]
        raise ConfigError(problems) from None


def _mode(session: Session) -> int:
    """The permissions of the file, which belongs to the user and keeps them."""
    try:
        return session.config_path.stat().st_mode & 0o777
    except OSError:
        return 0o644
