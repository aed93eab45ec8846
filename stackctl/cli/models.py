"""``stackctl models list|pull|show|rm|sync|backup|restore|prune``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stackctl.cli.wiring import present, session

if TYPE_CHECKING:
    from stackctl.commands.context.session import Session
    from stackctl.commands.servers.models_backup import Store
    from stackctl.ollama.backup.location import StoreLocation

verb = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="Models on all instances.")

_INSTANCES = typer.Option([], "--instance", "-i", help="An instance, `local` or a URL; repeats", metavar="NAME")
_MODELS = typer.Argument(..., help="Names such as qwen3:8b", metavar="MODEL")
_YES = typer.Option(False, "--yes", "-y", help="Do not ask")
_TARGETS = typer.Argument(None, help="Instances and profiles (default: the one in force)", metavar="TARGET")


@verb.command("list", epilog="Example:  stackctl models list --json")
def list_(ctx: typer.Context, instance: list[str] = _INSTANCES) -> None:
    """Every model: where, how big, what it can do, in memory or not."""
    from stackctl.commands.servers.models import list_models  # noqa: PLC0415

    present(ctx, list_models(session(ctx), instance))


@verb.command("show", epilog="Example:  stackctl models show qwen3:8b")
def show(
    ctx: typer.Context,
    model: str = typer.Argument(..., help="Such as qwen3:8b", metavar="MODEL"),
    instance: str = typer.Option(None, "--instance", "-i", help="Ask this instance", metavar="NAME"),
) -> None:
    """All about one model."""
    from stackctl.commands.servers.models import show_model  # noqa: PLC0415

    present(ctx, show_model(session(ctx), model, instance))


@verb.command("pull", epilog="Example:  stackctl models pull qwen3:8b nomic-embed-text -i gpu-box")
def pull(
    ctx: typer.Context,
    models: list[str] = _MODELS,
    instance: list[str] = _INSTANCES,
    insecure: bool = typer.Option(False, "--insecure", help="Let the server use a registry without TLS"),
) -> None:
    """Pull models, several at once; an interrupted pull goes on where it was."""
    from stackctl.commands.servers.models_change import pull as command  # noqa: PLC0415

    present(ctx, command(session(ctx), models, instance, insecure=insecure))


@verb.command("rm", epilog="Example:  stackctl models rm qwen3:8b -i gpu-box --yes")
def remove(ctx: typer.Context, models: list[str] = _MODELS, instance: list[str] = _INSTANCES, yes: bool = _YES) -> None:
    """Remove models."""
    from stackctl.commands.servers.models_change import remove as command  # noqa: PLC0415

    present(ctx, command(session(ctx), models, instance, yes=yes))


@verb.command("sync", epilog="Examples:  stackctl models sync   ·   stackctl models sync gpu-box cluster")
def sync(ctx: typer.Context, targets: list[str] = _TARGETS) -> None:
    """Make the models of stackctl.yaml present where they are to be."""
    from stackctl.commands.servers.models_change import sync as command  # noqa: PLC0415

    present(ctx, command(session(ctx), targets or []))


@verb.command("prune", epilog="Example:  stackctl models prune --dry-run")
def prune(
    ctx: typer.Context,
    instance: list[str] = _INSTANCES,
    yes: bool = _YES,
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would go; touch nothing"),
) -> None:
    """Remove what no profile needs from the local Ollama, or from the instances named."""
    from stackctl.commands.servers.models_change import prune as command  # noqa: PLC0415

    present(ctx, command(session(ctx), instance, yes=yes, dry_run=dry_run))


@verb.command("backup", epilog="Example:  stackctl models backup models.tar.zst qwen3:8b")
def backup(
    ctx: typer.Context,
    file: str = typer.Argument(..., help="Where it goes", metavar="FILE"),
    models: list[str] = typer.Argument(None, help="Which models (default: all)", metavar="MODEL"),
    yes: bool = _YES,
) -> None:
    """The local Ollama's models to a file, compressed and with a manifest of digests."""
    from stackctl.adapters import backupfile  # noqa: PLC0415
    from stackctl.commands.servers.models_backup import backup as command  # noqa: PLC0415

    here = session(ctx)
    present(ctx, command(here, Path(file).absolute(), models or [], _stores(here), backupfile, yes=yes))


@verb.command("restore", epilog="Examples:  stackctl models restore models.tar.zst   ·   … --list")
def restore(
    ctx: typer.Context,
    file: str = typer.Argument(..., help="A backup", metavar="FILE"),
    list_: bool = typer.Option(False, "--list", help="Say what is in it; touch nothing"),
) -> None:
    """A backup into the local Ollama, running or fresh; all of it or nothing."""
    from stackctl.adapters import backupfile  # noqa: PLC0415
    from stackctl.commands.servers import models_backup  # noqa: PLC0415

    path = Path(file).absolute()
    if list_:
        present(ctx, models_backup.contents_of(path, backupfile))
        return
    here = session(ctx)
    present(ctx, models_backup.restore(here, path, _stores(here), backupfile))


def _stores(session: Session) -> Callable[[StoreLocation], Store]:
    """Opens model stores of this session's engine."""
    from stackctl.adapters.modelstore import ModelStore  # noqa: PLC0415

    engine: Any = session.engine
    # A named pipe reaches neither another machine nor a virtual one.
    same_machine = engine.is_local and not engine.is_desktop and sys.platform == "linux"
    return lambda location: ModelStore(engine.client_argv(), location, same_machine=same_machine)
