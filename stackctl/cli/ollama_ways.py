"""What the Ollama verbs need of the world beyond a session."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from stackctl.cli.globals import console_of
from stackctl.cli.wiring import one_document_only, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

    from stackctl.commands.context.session import Session
    from stackctl.commands.servers.models_backup import Store, Where
    from stackctl.outcome import Outcome


def model_store(session: Session) -> Callable[[Where], Store]:
    """Model stores of this session's engine."""
    from stackctl.adapters.modelstore import ModelStore, Place  # noqa: PLC0415

    near = session.engine.is_local and sys.platform == "linux"  # type: ignore[attr-defined]
    # A named pipe does not reach into a virtual machine.
    near = near and not session.engine.is_desktop  # type: ignore[attr-defined]

    def opened(where: Where) -> Store:
        place = Place(where.mount, where.path, where.image)
        return ModelStore(session.engine.client_argv(), place, near=near)  # type: ignore[attr-defined]

    return opened


def watch(ctx: typer.Context, produce: Callable[[Callable[[], None]], Iterator[Outcome]], interval: float) -> None:
    """Show each outcome in place of the one before, until Ctrl-C."""
    one_document_only(settings_of(ctx))
    console = console_of(settings_of(ctx))
    clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() else ""
    for outcome in produce(lambda: time.sleep(interval)):
        console.text(clear)
        console.present(outcome)
