"""``stackctl switch``."""

from __future__ import annotations

from functools import partial

import typer

from stackctl.cli.completion import profiles
from stackctl.cli.wiring import present, session, with_diagnosis

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(
    epilog="Examples:  stackctl switch local   ·   stackctl switch http://10.0.0.5:11434   ·   stackctl switch box"
)
def switch(
    ctx: typer.Context,
    target: str = typer.Argument(
        ..., help="A profile of stackctl.yaml, or the URL of an Ollama", metavar="PROFILE|URL", autocompletion=profiles
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the plan with its causes; touch nothing"),
    timeout: float = typer.Option(300.0, "--timeout", help="Seconds to wait for health", min=1),
    deep: bool = typer.Option(False, "--deep", help="Have the model give one token before anything is touched"),
    yes: bool = typer.Option(False, "--yes", "-y", help="Pull missing models without asking"),
) -> None:
    """Point the running stack at another Ollama: tried first, verified from inside, or rolled back."""
    from stackctl.commands.reconcile.switch import switch as command  # noqa: PLC0415

    here = session(ctx)
    run = partial(command, here, target, dry_run=dry_run, timeout=timeout, assume_yes=yes, deep=deep)
    present(ctx, with_diagnosis(here, run))
