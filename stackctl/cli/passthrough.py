"""``stackctl down``, ``logs``, ``exec``, ``restart``, ``ps`` and ``compose``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session

_PASS = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}


def _run(ctx: typer.Context, arguments: list[str]) -> None:
    from stackctl.commands.stack.passthrough import passthrough  # noqa: PLC0415
    from stackctl.errors import UsageError  # noqa: PLC0415

    if arguments == ["exec"]:
        raise UsageError("exec needs a service and a command", hint="stackctl exec backend sh")
    present(ctx, passthrough(session(ctx), arguments))


def _verb(name: str, text: str, example: str) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None, add_completion=False)

    @app.command(name=name, help=text, epilog=f"Example:  {example}", context_settings=dict(_PASS))
    def command(
        ctx: typer.Context,
        arguments: list[str] = typer.Argument(None, help=f"As for `docker compose {name}`", metavar="ARGS"),
    ) -> None:
        _run(ctx, [name, *(arguments or []), *ctx.args])

    return app


def _compose() -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None, add_completion=False)

    @app.command(name="compose", epilog="Example:  stackctl compose -- top backend", context_settings=dict(_PASS))
    def compose(
        ctx: typer.Context,
        arguments: list[str] = typer.Argument(..., help="Any Compose command", metavar="-- ARGS"),
    ) -> None:
        """Run any Compose command with the files, environment and profiles that are in force."""
        _run(ctx, [*arguments, *ctx.args])

    return app


verbs = {
    "down": _verb("down", "Stop and remove the stack's containers and networks; volumes stay.", "stackctl down"),
    "logs": _verb("logs", "Logs of the services.", "stackctl logs -f --tail 20 backend"),
    "exec": _verb("exec", "Run a command in a running service.", "stackctl exec backend sh"),
    "restart": _verb("restart", "Restart services.", "stackctl restart backend"),
    "ps": _verb("ps", "List the stack's containers.", "stackctl ps --all"),
    "compose": _compose(),
}
