"""A set-up as shell scripts, one that applies it and one that undoes it, and as what ``host-setup`` prints."""

from __future__ import annotations

import shlex

from stackctl.hostsetup.setup import Command, HostFile, Setup, Step

_END = "STACKCTL_END"


def apply_script(setup: Setup, *, write_files: bool = True) -> str:
    """A script for ``sh`` that does the whole of it; it stops at the first command that fails.

    Without ``write_files`` the files are taken from below the script's own directory.
    """
    lines = [f"# {setup.subject}: {setup.summary}", *(f"# Note: {note}" for note in setup.notes), "set -eu"]
    for need in setup.needs:
        test = f"command -v {need.name} >/dev/null" if need.kind == "program" else f"[ -e {shlex.quote(need.name)} ]"
        lines.append(f"{test} || {{ echo {shlex.quote(f'{need.name} is missing: {need.remedy}')} >&2; exit 1; }}")
    for file in setup.files:
        lines += ["", f"# {file.path} (mode {file.mode:04o})", *(_here(file) if write_files else _copied(file))]
    lines += ["", *_commands(setup.settle)]
    for step in setup.steps:
        lines += _step(step)
    lines += _commands(setup.finish)
    return "\n".join(line for line in _squeezed(lines)) + "\n"


def undo_script(setup: Setup) -> str:
    """A script for ``sh`` that takes all of it away; a command that fails does not keep the others from running."""
    lines = [f"# Undoes: {setup.summary}", *_commands(setup.undo_first)]
    lines += [f"rm -f {shlex.quote(file.path)}" for file in setup.files]
    lines += _commands(setup.undo_last)
    return "\n".join(lines) + "\n"


def printed(setup: Setup) -> str:
    """What ``host-setup`` prints: the script, and as comments how to undo it."""
    undo = "\n".join(f"# {line}" if line else "#" for line in undo_script(setup).splitlines())
    return f"{apply_script(setup)}\n# To undo it, as root:\n{undo}\n"


def _squeezed(lines: list[str]) -> list[str]:
    """No blank line twice, none at the end."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _here(file: HostFile) -> list[str]:
    path = shlex.quote(file.path)
    parent = shlex.quote(file.path.rpartition("/")[0] or ".")
    return [
        f"mkdir -p {parent}",
        f"cat >{path} <<'{_END}'",
        *file.text.splitlines(),
        _END,
        f"chmod {file.mode:04o} {path}",
    ]


def _copied(file: HostFile) -> list[str]:
    path = shlex.quote(file.path)
    return [f'install -D -m {file.mode:04o} "$(dirname "$0")"/{shlex.quote(file.path.lstrip("/"))} {path}']


def _commands(commands: tuple[Command, ...]) -> list[str]:
    return [_with_reason(command.text, command.why) for command in commands]


def _step(step: Step) -> list[str]:
    text = step.run.text
    if step.present:
        seen = shlex.join(step.present.argv)
        text = f"{seen} | grep -qF -e {shlex.quote(step.present.needle)} || {text}"
    return [_with_reason(text, step.run.why)]


def _with_reason(text: str, why: str) -> str:
    return f"# {why}\n{text}" if why else text
