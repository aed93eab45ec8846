"""Global options, understood before and after the verb alike."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stackctl.errors import UsageError

if TYPE_CHECKING:
    from stackctl.adapters.console import Console

FLAGS = {
    "--json": "json",
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
    "--no-color": "no_color",
}
VALUES = {
    "-C": "directory",
    "--directory": "directory",
    "--config": "config",
    "--env": "environment",
    "--context": "context",
}
PASSES_ON = {"exec": 1, "logs": 0, "restart": 0, "compose": 0, "ps": 0}
"""Verbs whose arguments are Compose's: after this many words, options are no longer ours."""


@dataclass
class Settings:
    """The values of the global options, and the console once it is needed."""

    json: bool = False
    quiet: bool = False
    verbose: int = 0
    no_color: bool = False
    directory: str = "."
    config: str = "stackctl.yaml"
    environment: str | None = None
    context: str | None = None
    console: Console | None = field(default=None, repr=False)


def hoist(arguments: list[str]) -> tuple[Settings, list[str]]:
    """Split a command line into the global options and the rest, in order."""
    settings, rest = Settings(), []
    words = 0
    verb = ""
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        index += 1
        ours = not verb or verb not in PASSES_ON or words <= PASSES_ON[verb]
        name, equals, value = argument.partition("=")
        if argument == "--" or (not ours and verb in PASSES_ON):
            rest += arguments[index - 1 :]
            break
        if argument in FLAGS and not (verb in PASSES_ON and argument in ("-q", "-v")):
            if FLAGS[argument] == "verbose":
                settings.verbose += 1
            else:
                setattr(settings, FLAGS[argument], True)
        elif re.fullmatch(r"-[qv]{2,}", argument) and verb not in PASSES_ON:
            settings.quiet = settings.quiet or "q" in argument
            settings.verbose += argument.count("v")
        elif name in VALUES and (equals or argument == name):
            if not equals:
                if index >= len(arguments) or arguments[index].startswith("--"):
                    raise UsageError(f"{name} needs a value", hint="stackctl --help")
                value = arguments[index]
                index += 1
            setattr(settings, VALUES[name], value)
        else:
            rest.append(argument)
            if not argument.startswith("-"):
                words += 1 if verb else 0
                verb = verb or argument
    return settings, rest


def console_of(settings: Settings) -> Console:
    """The console of this run, made when it is first needed."""
    if settings.console is None:
        from stackctl.adapters.console import Console  # noqa: PLC0415

        settings.console = Console(
            as_json=settings.json,
            quiet=settings.quiet,
            verbose=settings.verbose,
            color=False if settings.no_color else None,
        )
    return settings.console
