"""Every verb of the command line, as the program itself lists them: a new one is in each test over all verbs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from stackctl.cli.app import VERBS, app

ARGUMENTS = {
    "profile": "box", "target": "box", "cause": "connection-refused", "name": "new", "url": "http://127.0.0.1:2",
    "model": "tiny", "models": "tiny", "file": "models.tar", "subject": "nginx", "prompt": "hello",
    "services": "backend", "names": "box", "targets": "box", "shell": "bash",
}  # fmt: skip
"""What is given for an argument of this name; a verb with one that is not here fails the test, and is to be added."""
COMPOSE = [["--", "ps"], ["--", "config"], ["--", "up", "-d"], ["--", "run", "backend"], ["--", "--profile", "x", "up"]]
NOT_GIVEN = ("--apply", "--undo", "--watch")
"""These write to this machine, or never end."""


def command_lines() -> Iterator[list[str]]:
    """Every verb with what it needs, with all it can be given, and with each of its switches."""
    root: Any = typer.main.get_command(app)
    context = root.make_context("stackctl", [], resilient_parsing=True)

    def walk(command: Any, words: list[str]) -> Iterator[list[str]]:
        if hasattr(command, "list_commands"):
            for name in command.list_commands(context):
                yield from walk(command.get_command(context, name), [*words, name])
            return
        arguments = [p for p in command.params if p.param_type_name == "argument" and p.name != "arguments"]
        needed = [ARGUMENTS[p.name] for p in arguments if p.required]
        flags = [p.opts[0] for p in command.params if getattr(p, "is_flag", False) and p.opts[0] not in NOT_GIVEN]
        yield [*words, *needed]
        if len(needed) < len(arguments):
            yield [*words, *(ARGUMENTS[p.name] for p in arguments)]
        yield from ([*words, *needed, flag] for flag in flags)

    for verb in VERBS:
        if verb in ("compose", "provider"):
            yield from ([verb, *more] for more in COMPOSE)
        else:
            yield from walk(root.get_command(context, verb), [verb])
    yield ["exec", "backend", "true"]
