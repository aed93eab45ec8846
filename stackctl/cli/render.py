"""``stackctl render``."""

from __future__ import annotations

import typer

from stackctl.cli.completion import profiles
from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Examples:  stackctl render gpu-box   ·   stackctl render --merged > merged.yaml")
def render(
    ctx: typer.Context,
    profile: str = typer.Argument(
        None, help="A profile or a URL (default: the one in force)", metavar="PROFILE", autocompletion=profiles
    ),
    merged: bool = typer.Option(False, "--merged", help="The whole project with the override merged in"),
    show_secrets: bool = typer.Option(False, "--show-secrets", help="Redact nothing; asks first"),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask before secrets are shown"),
) -> None:
    """Print the override that a target needs, or the merged project, secrets redacted."""
    from stackctl.commands.stack.render import render as command  # noqa: PLC0415

    present(ctx, command(session(ctx), profile, merged=merged, show_secrets=show_secrets, yes=yes))
