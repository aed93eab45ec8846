"""``stackctl completion``, and the names that the shell completes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from stackctl.errors import UsageError, WrongInput

VARIABLE = "_STACKCTL_COMPLETE"
SHELLS = ("bash", "zsh", "fish", "pwsh", "powershell")

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Example:  stackctl completion bash > ~/.local/share/bash-completion/completions/stackctl")
def completion(
    shell: str = typer.Argument(None, help="bash, zsh, fish or pwsh (default: yours)", metavar="SHELL"),
) -> None:
    """Print the completion script for your shell."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # noqa: PLC0415

    chosen = shell or Path(os.environ.get("SHELL", "bash")).name
    if chosen not in SHELLS:
        raise UsageError(f'no completion for "{chosen}"', hint=f"stackctl completion {'|'.join(SHELLS[:4])}")
    typer.echo(get_completion_script(prog_name="stackctl", complete_var=VARIABLE, shell=chosen))


def profiles(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Profile names of the stackctl.yaml here that begin as typed; none where it cannot be read."""
    from stackctl.adapters.files import LocalFiles  # noqa: PLC0415
    from stackctl.cli.wiring import settings_of  # noqa: PLC0415
    from stackctl.config.tree import MAX_BYTES, parse  # noqa: PLC0415

    settings = settings_of(ctx)
    try:
        content = LocalFiles().read(Path(settings.directory) / settings.config, limit=MAX_BYTES)
    except WrongInput:
        return []
    data = parse((content or b"")[:MAX_BYTES].decode("utf-8", "replace"), settings.config).data
    found = [("local", "the Ollama container")]
    for section, kind in (("instances", "instance"), ("profiles", "profile")):
        entries: Any = data.get(section) if isinstance(data, dict) else None
        found += [(str(name), kind) for name in entries] if isinstance(entries, dict) else []
    return [(name, kind) for name, kind in found if name.startswith(incomplete)]
