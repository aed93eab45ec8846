"""``stackctl schema``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(
    epilog="Editors: put `# yaml-language-server: $schema=stackctl.schema.json` on the first line of stackctl.yaml."
)
def schema(ctx: typer.Context) -> None:
    """Print the JSON Schema of stackctl.yaml."""
    from stackctl.commands.adoption.schema import schema as command  # noqa: PLC0415

    present(ctx, command())
