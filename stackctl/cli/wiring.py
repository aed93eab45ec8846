"""Adapters put together for a command, and the way out for what it returns."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stackctl.cli.boundary import _console
from stackctl.cli.globals import Settings

if TYPE_CHECKING:
    from stackctl.commands.outcome import Outcome
    from stackctl.commands.session import Session


def settings_of(ctx: typer.Context) -> Settings:
    """The global options of this run."""
    found = ctx.find_object(Settings)
    return found if found is not None else Settings()


def session(ctx: typer.Context) -> Session:
    """A session over the real world, for the directory and options of this run."""
    from stackctl.adapters.docker import DockerEngine  # noqa: PLC0415
    from stackctl.adapters.files import LocalFiles  # noqa: PLC0415
    from stackctl.adapters.hostnames import SystemNames  # noqa: PLC0415
    from stackctl.commands.session import Session  # noqa: PLC0415
    from stackctl.errors import UsageError  # noqa: PLC0415

    settings = settings_of(ctx)
    console = _console(settings)
    directory = Path(settings.directory).expanduser().absolute()
    if not directory.is_dir():
        raise UsageError(f"no such directory: {settings.directory}", hint="stackctl -C DIR …")
    return Session(
        directory=directory,
        config_name=settings.config,
        environment=settings.environment,
        engine=DockerEngine(settings.context, on_command=console.detail),
        files=LocalFiles(),
        reporter=console,
        names=SystemNames(),
        variables=dict(os.environ),
        clock=time.time,
        hide=console.hide,
        as_json=settings.json,
    )


def present(ctx: typer.Context, outcome: Outcome) -> None:
    """Print the outcome and end with its code."""
    code = _console(settings_of(ctx)).present(outcome)
    if code:
        raise typer.Exit(code)
