"""``stackctl up``."""

from __future__ import annotations

from functools import partial

import typer

from stackctl.cli.completion import profiles
from stackctl.cli.wiring import present, session, with_diagnosis

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Examples:  stackctl up   ·   stackctl up local --env prod   ·   stackctl up gpu-box --dry-run")
def up(
    ctx: typer.Context,
    profile: str = typer.Argument(
        None, help="A profile or a URL (default: the one in force)", metavar="PROFILE", autocompletion=profiles
    ),
    timeout: float = typer.Option(300.0, "--timeout", help="Seconds to wait for health", min=1),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the plan with its causes; touch nothing"),
) -> None:
    """Bring the stack up, make the models present, and verify it from every consumer."""
    from stackctl.commands.reconcile.up import up as command  # noqa: PLC0415

    here = session(ctx)
    present(ctx, with_diagnosis(here, partial(command, here, profile, timeout=timeout, dry_run=dry_run)))
