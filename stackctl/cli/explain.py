"""``stackctl explain CAUSE``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Examples:  stackctl explain host-ollama-loopback-only   ·   stackctl diagnose --list-causes")
def explain(ctx: typer.Context, cause: str = typer.Argument(..., help="An id, as `diagnose` names it")) -> None:
    """Say what a cause is: symptom, cause, what tells it apart, remedy."""
    from stackctl.commands.diagnosing.explain import explain as command  # noqa: PLC0415

    present(ctx, command(cause))
