"""``stackctl host-setup``."""

from __future__ import annotations

import typer

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)
_EXAMPLES = (
    "Examples:  stackctl host-setup systemd   ·   sudo stackctl host-setup ufw --apply   ·   "
    "stackctl host-setup nginx --server-name ollama.lan --write setup"
)


@verb.command(epilog=_EXAMPLES)
def host_setup(
    ctx: typer.Context,
    subject: str = typer.Argument(
        ..., help="systemd, ufw, firewalld, iptables, nftables, nginx, caddy or ssh-tunnel", metavar="WHAT"
    ),
    instance: str = typer.Option(None, "--instance", help="The instance of stackctl.yaml that the server is"),
    project: str = typer.Option(None, "--project", help="The stack's name (default: the Compose project here)"),
    bind: str = typer.Option(None, "--bind", help="Address that Ollama (or the tunnel) listens on", metavar="ADDRESS"),
    port: int = typer.Option(None, "--port", help="Port at which the stack arrives", min=1, max=65535),
    sources: list[str] = typer.Option(
        None, "--from", help="Who may connect; repeats (default: the stack)", metavar="SUBNET"
    ),
    shared: bool = typer.Option(False, "--shared", help="Open the port for the stack without closing it to others"),
    settings: list[str] = typer.Option(
        None, "--set", help="Another variable for Ollama; repeats", metavar="NAME=VALUE"
    ),
    tuning: bool = typer.Option(False, "--tuning", help="Take local.tuning of stackctl.yaml into the unit"),
    nft_chain: str = typer.Option(
        None, "--nft-chain", help="A chain of yours that drops, to be opened", metavar="'F T C'"
    ),
    server_name: str = typer.Option(None, "--server-name", help="Name in the URL of the TLS proxy", metavar="HOST"),
    certificate: str = typer.Option(
        None, "--certificate", help="Path of its certificate on the server", metavar="FILE"
    ),
    key: str = typer.Option(None, "--key", help="Path of the certificate's key on the server", metavar="FILE"),
    token_file: str = typer.Option(None, "--token-file", help="Path of the token's file on the server", metavar="FILE"),
    no_token: bool = typer.Option(False, "--no-token", help="Let the proxy ask for no token"),
    timeout: int = typer.Option(
        3600, "--timeout", help="Longest silence of a request through the proxy, in seconds", min=1
    ),
    ssh: str = typer.Option(None, "--ssh", help="The server of the tunnel", metavar="USER@HOST[:PORT]"),
    identity: str = typer.Option(None, "--identity", help="Path of the tunnel's private key", metavar="FILE"),
    known_hosts: str = typer.Option(None, "--known-hosts", help="Path of the tunnel's known_hosts", metavar="FILE"),
    compose: bool = typer.Option(False, "--compose", help="The tunnel as a service of the stack, not as a unit"),
    base_image: str = typer.Option(None, "--base-image", help="Debian image that the service is made from"),
    write: str = typer.Option(None, "--write", help="Write files and scripts below this directory", metavar="DIR"),
    apply: bool = typer.Option(False, "--apply", help="Put it in force on this machine (root; asks)"),
    undo: bool = typer.Option(False, "--undo", help="Take away what --apply did (root; asks)"),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask"),
) -> None:
    """Print what an Ollama server needs for this stack, or write, apply or undo it."""
    from stackctl.adapters.host import SystemHost  # noqa: PLC0415
    from stackctl.adapters.ollamahost import observe_network  # noqa: PLC0415
    from stackctl.commands.host.derive import SetupOptions  # noqa: PLC0415
    from stackctl.commands.host.setup import host_setup as command  # noqa: PLC0415
    from stackctl.errors import UsageError  # noqa: PLC0415

    if apply and undo:
        raise UsageError("--apply and --undo exclude each other")
    options = SetupOptions(
        subject=subject, instance=instance, project=project, bind=bind, port=port, sources=sources or [], shared=shared,
        settings=settings or [], tuning=tuning, nft_chain=nft_chain, server_name=server_name, certificate=certificate,
        key=key, token_file=token_file, no_token=no_token, timeout=timeout, ssh=ssh, identity=identity,
        known_hosts=known_hosts, compose=compose, base_image=base_image,
    )  # fmt: skip
    do = "apply" if apply else "undo" if undo else ""
    present(ctx, command(session(ctx), SystemHost(), options, observe_network, write=write, do=do, yes=yes))
