"""``stackctl host-check``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)


@verb.command(epilog="Examples:  sudo stackctl host-check   ·   sudo stackctl host-check --from 192.168.1.20")
def host_check(
    ctx: typer.Context,
    port: int = typer.Option(11434, "--port", help="The port on which Ollama should be reached", min=1, max=65535),
    sources: list[str] = typer.Option(
        None, "--from", help="Subnet or address that should get in; repeats (default: the stack's)", metavar="SUBNET"
    ),
) -> None:
    """Check the host of an Ollama server, on that host: listener, unit, environment, firewall, GPU, disk, version."""
    from stackctl.adapters.host import SystemHost  # noqa: PLC0415
    from stackctl.adapters.ollamahost import observe  # noqa: PLC0415
    from stackctl.commands.host.check import host_check as command  # noqa: PLC0415

    present(ctx, command(session(ctx), SystemHost(), observe, port=port, sources=sources or []))
