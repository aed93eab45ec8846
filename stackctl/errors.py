"""Every error that stackctl raises on purpose, and the exit code of each.

    StackctlError
    ├── ExpectedFailure      1   a check failed, a target was unfit; the stack is as it was
    │   ├── TargetUnfit          the Ollama asked for cannot serve the consumers
    │   ├── VerifyFailed         a consumer does not reach the target after all
    │   ├── StepFailed           a Docker or file action failed and was undone
    │   └── GpuUnavailable       an explicit GPU that the engine cannot give
    ├── WrongInput           2   wrong usage or a wrong file; nothing was touched
    │   ├── UsageError           arguments that do not fit
    │   ├── SpecialFile          a pipe, a device, a link or a huge file instead of a regular file
    │   ├── Untrusted            a command or a file elsewhere that the user has not trusted
    │   ├── ConfigError          stackctl.yaml; carries every problem found
    │   └── ComposeFileError     the user's Compose files, in Compose's own words
    ├── RollbackFailed       4   carries the steps to take by hand
    ├── EngineUnusable       5   Docker or Compose absent, forbidden or too old
    ├── ProjectLocked        6   another stackctl is at work on this project
    └── Interrupted        130   what had begun was undone

Any other exception is a bug (3). Codes are those of the contract in ``docs/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class StackctlError(Exception):
    """Base of all expected errors: a message, a hint, a place.

    ``hint`` is a sentence or a command that solves it; ``where`` is
    ``file:line:column`` when there is one.
    """

    code = 1

    def __init__(self, message: str, *, hint: str = "", where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where


class ExpectedFailure(StackctlError):
    """A check failed, a target was unfit, or a switch was rolled back; the stack is as it was."""

    code = 1


class TargetUnfit(ExpectedFailure):
    """The Ollama asked for cannot serve the consumers.

    ``target`` is the profile or URL that was tried, empty where the one in
    force was; ``findings`` are those of ``diagnose``, as its JSON has them.
    """

    def __init__(self, message: str, *, hint: str = "", target: str = "") -> None:
        super().__init__(message, hint=hint)
        self.target = target
        self.findings: tuple[dict[str, Any], ...] = ()


class VerifyFailed(ExpectedFailure):
    """A consumer, asked from inside, does not reach the target."""


class StepFailed(ExpectedFailure):
    """A Docker or file action failed."""


class GpuUnavailable(ExpectedFailure):
    """An explicit GPU that this engine cannot give."""


class WrongInput(StackctlError):
    """Wrong usage or a wrong file; nothing was touched."""

    code = 2


class UsageError(WrongInput):
    """Arguments that do not fit together or name what is not there."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a file. ``line`` and ``column`` count from 1; 0 means none."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    @property
    def where(self) -> str:
        """``file:line:column``, or the file alone where no line is to blame."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}"
        return f"{text}\n    {self.hint}" if self.hint else text


class SpecialFile(WrongInput):
    """A pipe, a device, a link in ``.stackctl/`` or a huge file where a regular file is expected; it is not opened."""


class Untrusted(WrongInput):
    """``stackctl.yaml`` would run a command or read a file elsewhere, and `stackctl trust` has not been run for it."""


class ConfigError(WrongInput):
    """``stackctl.yaml`` is wrong; ``problems`` holds all of it, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        first = self.problems[0]
        super().__init__(
            "\n".join(str(p) for p in self.problems),
            hint=first.hint if len(self.problems) == 1 else "",
            where=first.where,
        )


class ComposeFileError(WrongInput):
    """Compose refuses the project; the message is Compose's own."""


class RollbackFailed(StackctlError):
    """A rollback failed; the steps to take by hand are printed.

    ``steps`` are these commands.
    """

    code = 4

    def __init__(self, message: str, *, steps: list[str], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.steps = steps


class EngineUnusable(StackctlError):
    """No usable Docker engine or Compose; the hint holds the command that mends it."""

    code = 5


class ProjectLocked(StackctlError):
    """Another stackctl holds the lock of this project."""

    code = 6


class Interrupted(StackctlError):
    """Ctrl-C or SIGTERM; what had begun was undone."""

    code = 130
