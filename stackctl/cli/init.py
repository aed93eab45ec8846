"""``stackctl init``."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from stackctl.cli.wiring import present, session, settings_of

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


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
    from stackctl.commands.adoption.init import init as command  # noqa: PLC0415

    here, reading = settings_of(ctx).begun or (session(ctx), None)
    present(ctx, command(here, files=file, yes=yes, dry_run=dry_run, reading=reading))
