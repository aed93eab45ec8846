"""Builds the session that a command works with, and prints the outcome that it returns."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from stackctl.cli.globals import Settings, console_of
from stackctl.cli.signals import exit_on_signal

if TYPE_CHECKING:
    import typer

    from stackctl.adapters.docker import DockerEngine
    from stackctl.commands.context.session import Consent, Session
    from stackctl.config.secrets import Secret
    from stackctl.outcome import Outcome
    from stackctl.ports import Container


def with_diagnosis(here: Session, run: Callable[[], Outcome]) -> Outcome:
    """The outcome of ``run``; where it refuses its target, the error gets the findings of ``diagnose``."""
    from stackctl.errors import TargetUnfit  # noqa: PLC0415

    try:
        return run()
    except TargetUnfit as error:
        from stackctl.adapters.hostview import look  # noqa: PLC0415  (loaded only where something was refused)
        from stackctl.commands.diagnosing.explain_refusal import explain_refusal  # noqa: PLC0415

        error.findings = explain_refusal(here, look, error.target)
        raise


def settings_of(ctx: typer.Context) -> Settings:
    """The global options of this run."""
    found = ctx.find_object(Settings)
    return found if found is not None else Settings()


def session(ctx: typer.Context) -> Session:
    """A session over the real world, for the directory and options of this run."""
    from stackctl.adapters.docker import DockerEngine  # noqa: PLC0415
    from stackctl.adapters.files import LocalFiles  # noqa: PLC0415
    from stackctl.adapters.hostnames import SystemNames  # noqa: PLC0415
    from stackctl.adapters.trust import TrustStore  # noqa: PLC0415
    from stackctl.commands.context.session import Session  # noqa: PLC0415
    from stackctl.errors import UsageError  # noqa: PLC0415

    settings = settings_of(ctx)
    console = console_of(settings)
    try:
        directory = Path(os.path.normpath(_here() / Path(settings.directory).expanduser()))
        found = directory.is_dir()
    except (OSError, RuntimeError) as error:  # no permission, a directory that was removed, a home that is not known
        raise UsageError(f"no way into the directory {settings.directory}: {error}", hint="stackctl -C DIR …") from None
    if not found:
        raise UsageError(f"no such directory: {settings.directory}", hint="stackctl -C DIR …")
    engine = DockerEngine(settings.context, on_command=console.detail)
    return Session(
        directory=directory,
        config_name=settings.config,
        environment=settings.environment,
        engine=engine,
        files=LocalFiles(),
        reporter=console,
        names=SystemNames(),
        trust=TrustStore(os.environ),
        variables=dict(os.environ),
        clock=time.time,
        redactor=console.redactor,
        secrets=_secrets,
        into_container=lambda container, port: _into(engine, container, port),
        as_json=settings.json,
    )


def _here() -> Path:
    """The working directory as the shell names it, links not followed: Compose names a project after it."""
    named = os.environ.get("PWD", "")
    here = Path.cwd()
    return Path(named) if Path(named).is_absolute() and os.path.realpath(named) == os.path.realpath(here) else here


def _secrets(variables: Mapping[str, str], directory: Path, consent: Consent) -> Callable[[str], Secret]:
    from stackctl.adapters.secrets import SecretResolver  # noqa: PLC0415

    return SecretResolver(variables, directory, consent)


def _into(engine: DockerEngine, container: Container, port: int) -> Any:
    from stackctl.adapters.reach import into  # noqa: PLC0415

    return into(engine.client_argv(), container, port, same_machine=engine.is_local and sys.platform == "linux")


def present(ctx: typer.Context, outcome: Outcome) -> None:
    """Print the outcome and end with its code."""
    import typer  # noqa: PLC0415  (a session is made before typer is loaded)

    exit_on_signal(outcome.code)
    code = console_of(settings_of(ctx)).present(outcome)
    if code:
        raise typer.Exit(code)


def watching(ctx: typer.Context, look: Callable[[], Outcome], interval: float) -> NoReturn:
    """Show an outcome again and again, in place in a terminal, until Ctrl-C."""
    from stackctl.errors import UsageError  # noqa: PLC0415

    settings = settings_of(ctx)
    if settings.json:
        raise UsageError("--watch does not go with --json, which is one document", hint="leave one of them out")
    console = console_of(settings)
    while True:
        outcome = look()
        console.clear()
        console.present(outcome)
        time.sleep(interval)
