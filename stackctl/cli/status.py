"""``stackctl status``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session, watching

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Examples:  stackctl status   ·   stackctl status --json   ·   stackctl status --watch")
def status(
    ctx: typer.Context,
    watch: bool = typer.Option(False, "--watch", "-w", help="Again and again, until Ctrl-C"),
    interval: float = typer.Option(2.0, "--interval", help="Seconds between two looks with --watch", min=0.2),
) -> None:
    """Show what runs, which Ollama each consumer really uses, and drift. Touches nothing."""
    from stackctl.commands.stack.status import status as command  # noqa: PLC0415

    if watch:
        watching(ctx, lambda: command(session(ctx)), interval)
    present(ctx, command(session(ctx)))
