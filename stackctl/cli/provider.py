"""``stackctl compose --project-name=NAME up SERVICE``: the form in which Compose calls a provider."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


def is_call(arguments: list[str]) -> bool:
    """Whether Compose started us as a provider: a user of ``stackctl compose`` writes ``--`` first."""
    return arguments == ["metadata"] or bool(arguments and arguments[0].startswith("--project-name"))


@verb.command(
    hidden=True,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
)
def provider(
    ctx: typer.Context,
    arguments: list[str] = typer.Argument(None, metavar="ARGS"),
) -> None:
    """Answer Docker Compose as the provider of a service (see docs/provider.md)."""
    from stackctl.commands.stack.provider import provider as command  # noqa: PLC0415

    present(ctx, command(session(ctx), [*(arguments or []), *ctx.args]))
