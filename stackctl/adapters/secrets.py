"""References to their values: environment, ``env_files``, files, commands. Read when asked, never before."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from stackctl.adapters import process
from stackctl.adapters.files import LocalFiles
from stackctl.config.secrets import Secret
from stackctl.errors import WrongInput

COMMAND_TIMEOUT = 30.0
MAX_BYTES = 64 << 10
_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?:(?P<source>file|cmd):(?P<argument>[^}]+)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<op>:?-)(?P<default>[^}]*))?)\})"
)


class SecretResolver:
    """Behind :data:`stackctl.ollama.server.Resolve`.

    ``variables`` are the environment with the ``env_files`` beneath it;
    ``directory`` is that of ``stackctl.yaml``: files are relative to it, and
    commands run in it. ``consent`` is asked before a file is read or a command
    run, and raises where it must not be. Each source is read once.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        directory: Path,
        consent: Callable[[str, Path | None], None],
        *,
        timeout: float = COMMAND_TIMEOUT,
    ) -> None:
        self._variables, self._directory, self._timeout = variables, directory, timeout
        self._consent = consent
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, text: str) -> Secret:
        """The value of ``text`` with its references replaced; ``WrongInput`` where one cannot be read."""
        return Secret(_REFERENCE.sub(self._value, text))

    def _value(self, match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        if match["name"]:
            return self._variable(match["name"], match["default"])
        reference = match[0]
        with self._lock:
            if reference not in self._known:
                argument = match["argument"].strip()
                read = self._file if match["source"] == "file" else self._command
                self._known[reference] = read(reference, argument)
            return self._known[reference]

    def _variable(self, name: str, default: str | None) -> str:
        value = self._variables.get(name)
        if value:
            if not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value):
                raise WrongInput(f"${{{name}}} supplies something that is no UTF-8 text")
            return value
        if default is not None:
            return default
        state = "is not set" if value is None else "is empty"
        raise WrongInput(f"${{{name}}} {state} in the environment and in the env_files", hint=f"export {name}=…")

    def _file(self, reference: str, argument: str) -> str:
        path = self._directory / Path(argument).expanduser()
        self._consent(reference, path)
        try:
            data = LocalFiles().read(path, limit=MAX_BYTES)
        except WrongInput as error:
            raise WrongInput(f"{reference} cannot be read: {error.message}", hint=error.hint) from None
        if data is None:
            raise WrongInput(f"{reference} cannot be read: No such file or directory", hint=f"ls -l {path}")
        return _text(data, reference)

    def _command(self, reference: str, argument: str) -> str:
        try:
            argv = shlex.split(argument)
        except ValueError as error:
            raise WrongInput(f"{reference} is no command: {error}", hint="close the quotes") from None
        if not argv:
            raise WrongInput(f"{reference} names no command")
        self._consent(reference, None)
        try:
            done = process.run(argv, timeout=self._timeout, cwd=str(self._directory), limit=MAX_BYTES + 1)
        except OSError as error:
            raise WrongInput(
                f"{reference} cannot be run: {error.strerror}",
                hint="it is run without a shell; for a pipe, write ${cmd:sh -c '…'}",
            ) from None
        if done.timed_out:
            raise WrongInput(f"{reference} gave no answer within {self._timeout:.0f} s")
        if done.code:
            said = " ".join(done.error_text.split())[:200]
            raise WrongInput(f"{reference} failed with code {done.code}{': ' + said if said else ''}")
        return _text(done.stdout, reference)


def _text(data: bytes, reference: str) -> str:
    if len(data) > MAX_BYTES:
        raise WrongInput(f"{reference} supplies more than {MAX_BYTES >> 10} kB; a secret is short")
    try:
        value = data.decode("utf-8")
    except UnicodeDecodeError:
        raise WrongInput(f"{reference} supplies something that is no UTF-8 text") from None
    value = value.rstrip("\r\n")
    if not value:
        raise WrongInput(f"{reference} supplies nothing")
    return value
