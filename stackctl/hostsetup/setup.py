"""A set-up as a value: files, commands that apply it, commands that undo it, and the reason of each.

The order is fixed, so that undoing reverses it:
apply is files, ``settle``, steps, ``finish``; undo is the steps' undo in
reverse, the files as they were, ``settle``, ``finish``.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Command:
    """One process, run as root; ``why`` is a clause for people."""

    argv: tuple[str, ...]
    why: str = ""

    @property
    def text(self) -> str:
        """The command as a shell would read it; a script of its own stands in a subshell."""
        if self.argv[:2] == ("sh", "-euc") and len(self.argv) == 3:
            return f"( {self.argv[2]} )"
        return shlex.join(self.argv)


def command(line: str, why: str = "") -> Command:
    """A :class:`Command` from a line in shell quoting."""
    return Command(tuple(shlex.split(line)), why)


def shell(script: str, why: str = "") -> Command:
    """A :class:`Command` that needs a shell: ``sh -euc SCRIPT``."""
    return Command(("sh", "-euc", script), why)


@dataclass(frozen=True)
class Present:
    """How to tell that a step is not needed: a line of the output of ``argv`` holds ``needle``."""

    argv: tuple[str, ...]
    needle: str


@dataclass(frozen=True)
class Step:
    """A command with its undo. Where ``present`` holds, the step is skipped, and so never undone."""

    run: Command
    undo: Command | None = None
    present: Present | None = None


def unit_steps(unit: str, *, at_boot: str, start: str, stop: str) -> tuple[Step, Step]:
    """Enable and start a systemd unit. The three clauses say what that does at boot, now, and when it is undone."""
    return (
        Step(Command(("systemctl", "enable", unit), at_boot), Command(("systemctl", "disable", unit))),
        Step(Command(("systemctl", "restart", unit), start), Command(("systemctl", "stop", unit), stop)),
    )


@dataclass(frozen=True)
class HostFile:
    """A file that is wholly ours. ``path`` is absolute on the server, or relative to the project."""

    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True)
class Need:
    """What must exist beforehand: a program on the PATH, or a file. ``remedy`` is how to get it."""

    kind: Literal["program", "file"]
    name: str
    remedy: str


@dataclass(frozen=True)
class Setup:
    """One rendered set-up. ``touches`` are files of other programs that its steps change; they are saved first."""

    subject: str
    summary: str
    files: tuple[HostFile, ...] = ()
    settle: tuple[Command, ...] = ()
    steps: tuple[Step, ...] = ()
    finish: tuple[Command, ...] = ()
    needs: tuple[Need, ...] = ()
    touches: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def apply_commands(self) -> tuple[Command, ...]:
        """What is run once the files are in place, in order."""
        return (*self.settle, *(step.run for step in self.steps), *self.finish)

    @property
    def undo_first(self) -> tuple[Command, ...]:
        """What undoing runs while the files are still in place."""
        return tuple(step.undo for step in reversed(self.steps) if step.undo)

    @property
    def undo_last(self) -> tuple[Command, ...]:
        """What undoing runs once the files are as they were."""
        return (*self.settle, *self.finish)

    def document(self) -> dict[str, Any]:
        """The set-up for ``--json``."""
        return {
            "subject": self.subject,
            "summary": self.summary,
            "files": [{"path": f.path, "mode": f"{f.mode:04o}", "text": f.text} for f in self.files],
            "needs": [{"kind": n.kind, "name": n.name, "remedy": n.remedy} for n in self.needs],
            "apply": [{"command": c.text, "why": c.why} for c in self.apply_commands],
            "undo": [
                *({"command": c.text, "why": c.why} for c in self.undo_first),
                *(
                    {"command": f"rm -f {shlex.quote(f.path)}", "why": "or the file that was there before"}
                    for f in self.files
                ),
                *({"command": c.text, "why": c.why} for c in self.undo_last),
            ],
            "notes": list(self.notes),
        }
