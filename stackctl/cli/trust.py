"""``stackctl trust``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Examples:  stackctl trust   ·   stackctl trust --revoke")
def trust(
    ctx: typer.Context, revoke: bool = typer.Option(False, "--revoke", help="Take the yes back, whatever was trusted")
) -> None:
    """Say yes to the commands that this stackctl.yaml runs, and to the files that it reads from elsewhere."""
    from stackctl.commands.adoption.trust import trust as command  # noqa: PLC0415

    present(ctx, command(session(ctx), revoke=revoke))
