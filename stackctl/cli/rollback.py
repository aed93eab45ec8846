"""``stackctl rollback``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Example:  stackctl rollback")
def rollback(
    ctx: typer.Context, timeout: float = typer.Option(300.0, "--timeout", help="Seconds to wait for health", min=1)
) -> None:
    """Undo what a killed stackctl left half done, or go back to the verified target before this one."""
    from stackctl.commands.reconcile.rollback import rollback as command  # noqa: PLC0415

    present(ctx, command(session(ctx), timeout=timeout))
