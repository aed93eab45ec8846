"""``stackctl history``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Example:  stackctl history --limit 5")
def history(
    ctx: typer.Context, limit: int = typer.Option(20, "--limit", "-n", help="How many of the last entries", min=1)
) -> None:
    """Show what was switched when, by whom, from where to where, and how it ended."""
    from stackctl.commands.stack.history import history as command  # noqa: PLC0415

    present(ctx, command(session(ctx), limit=limit))
