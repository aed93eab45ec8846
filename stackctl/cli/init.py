"""``stackctl init``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Examples:  stackctl init   ·   stackctl init -f compose.yaml -f compose.gpu.yaml --dry-run")
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

    present(ctx, command(session(ctx), files=file, yes=yes, dry_run=dry_run))
