"""``stackctl detach``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Example:  stackctl detach --purge")
def detach(ctx: typer.Context, purge: bool = typer.Option(False, "--purge", help="Remove stackctl.yaml too")) -> None:
    """Take stackctl's traces away: its files, containers and networks. Your project is as before."""
    from stackctl.commands.stack.detach import detach as command  # noqa: PLC0415

    present(ctx, command(session(ctx), purge=purge))
