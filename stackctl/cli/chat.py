"""``stackctl chat``."""

from __future__ import annotations

import io
import sys

import typer

from stackctl.cli.globals import console_of
from stackctl.cli.wiring import present, session, settings_of
from stackctl.errors import UsageError

verb = typer.Typer(rich_markup_mode=None, add_completion=False)
MAX_PROMPT = 1 << 20


@verb.command(
    epilog="Examples:  stackctl chat   ·   stackctl chat 'Say hello' --model qwen3:8b   ·   echo hi | stackctl chat"
)
def chat(
    ctx: typer.Context,
    prompt: list[str] = typer.Argument(None, help="What to say (default: a dialogue)", metavar="PROMPT"),
    instance: str = typer.Option(None, "--instance", "-i", help="Ask this instance, `local` or a URL", metavar="NAME"),
    model: str = typer.Option(None, "--model", "-m", help="Such as qwen3:8b", metavar="MODEL"),
) -> None:
    """Chat with the active Ollama; figures at the end."""
    from stackctl.commands.servers.chat import chat as command  # noqa: PLC0415

    settings = settings_of(ctx)
    console = console_of(settings)
    said = " ".join(prompt) if prompt else None
    if said is None and (sys.stdin is None or not sys.stdin.isatty() or settings.json):
        said = _from_input()
    silent = settings.json

    def write(text: str, thinking: bool) -> None:
        if not silent:
            console.text(console.paint(text, "dim") if thinking else text)

    def ask() -> str | None:
        try:
            return input(">>> ")
        except EOFError:
            return None

    present(ctx, command(session(ctx), said, ask, write, instance=instance, model=model))


def _from_input() -> str:
    """Standard input as UTF-8, whatever the locale; other bytes become surrogates, which the command refuses."""
    if sys.stdin is None:
        return ""
    text = io.TextIOWrapper(sys.stdin.buffer, "utf-8", errors="surrogateescape")
    try:
        return text.read(MAX_PROMPT).strip()
    except OSError as error:  # io.UnsupportedOperation too: a descriptor that is only open for writing
        raise UsageError(f"standard input cannot be read: {error}", hint='stackctl chat "PROMPT"') from None
