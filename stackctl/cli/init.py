"""``stackctl init``."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)
READING = "stackctl.reading"


class _Files(TyperOption):
    """Texts taken as they are. Typer loads pydantic to read any option but a flag: half of what `init` may take."""

    def process_value(self, ctx: Any, value: Any) -> Any:  # noqa: ARG002
        """The values as a list."""
        return list(value or ())


class _Command(TyperCommand):
    """The verb, with `-f` read that way."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for parameter in self.params:
            if parameter.name == "file":
                parameter.__class__ = _Files


def begin(ctx: Any, arguments: list[str]) -> None:
    """Let Compose read the project while the options are read; nothing where they do not name one."""
    from stackctl.commands.adopt import start  # noqa: PLC0415

    if not {"-h", "--help"} & set(arguments):
        here = session(ctx)
        ctx.meta[READING] = (here, start(here, files_in(arguments)))


def files_in(arguments: list[str]) -> list[str]:
    """The values of ``-f`` and ``--file``, in all the ways in which an option takes its value."""
    found: list[str] = []
    for index, word in enumerate(arguments):
        if word in ("-f", "--file"):
            found += arguments[index + 1 : index + 2]
        elif word.startswith("--file="):
            found.append(word.removeprefix("--file="))
        elif word.startswith("-f"):
            found.append(word.removeprefix("-f"))
    return found


@verb.command(
    cls=_Command, epilog="Examples:  stackctl init   ·   stackctl init -f compose.yaml -f compose.gpu.yaml --dry-run"
)
def init(
    ctx: typer.Context,
    file: list[str] = typer.Option([], "--file", "-f", metavar="COMPOSE_FILE", help="As for docker compose; repeats"),
    yes: bool = typer.Option(False, "--yes", "-y", help="Ask nothing; take the safe choice and say so"),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would be written, and write nothing"),
) -> None:
    """Adopt the Compose project that is here: find who uses Ollama, and write stackctl.yaml.

    No other file is touched. A second init changes nothing and shows what differs.
    """
    from stackctl.commands.init import init as command  # noqa: PLC0415

    here, reading = ctx.meta.get(READING) or (session(ctx), None)
    present(ctx, command(here, files=file, yes=yes, dry_run=dry_run, reading=reading))
