"""``stackctl instances list|add|edit|remove|test``."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import typer

from stackctl.cli.wiring import present, session, watching

verb = typer.Typer(
    rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="The Ollama servers in stackctl.yaml."
)

_NAME = typer.Argument(..., help="The instance's name", metavar="NAME")
_URL = typer.Option(None, "--url", help="Address, with http:// or https://")
_PRIORITY = typer.Option(None, "--priority", min=1, max=10, help="1 to 10, lower first")
_TIMEOUT = typer.Option(None, "--timeout", help="Such as 30s or 2m", metavar="DURATION")
_ADDRESS = typer.Option(None, "--address", help="Pin the host name to this IP, or host-gateway")
_BEARER = typer.Option(None, "--bearer", help="Where the token comes from, such as '${GPU_TOKEN}'", metavar="REF")
_USER = typer.Option(None, "--basic-user", help="User for basic authentication")
_PASSWORD = typer.Option(None, "--basic-password", help="Where the password comes from", metavar="REF")
_HEADER = typer.Option([], "--header", help="A further header, NAME=VALUE; repeats")
_CA = typer.Option(None, "--ca-file", help="CA certificates, PEM, relative to stackctl.yaml")
_SNI = typer.Option(None, "--server-name", help="Name that its certificate is for")
_VERIFY = typer.Option(None, "--verify/--no-verify", help="Check its certificate")
_MODEL = typer.Option([], "--model", help="A model that it is to have; repeats")
_ENDPOINT = typer.Option(
    [], "--endpoint", help="An own path: chat, generate, list_models, health or version=PATH; repeats"
)
_ENABLED = typer.Option(None, "--enable/--disable", help="Whether it is used")


def _settings(**given: Any) -> dict[tuple[str, ...], Any]:
    """Options that were given, as paths below the instance."""
    from stackctl.errors import UsageError  # noqa: PLC0415

    places: dict[str, tuple[str, ...]] = {
        "url": ("url",),
        "address": ("address",),
        "models": ("models",),
        "priority": ("priority",),
        "timeout": ("timeout",),
        "enabled": ("enabled",),
        "bearer": ("auth", "bearer"),
        "verify": ("tls", "verify"),
        "ca_file": ("tls", "ca_file"),
        "server_name": ("tls", "server_name"),
    }
    found = {place: given[key] for key, place in places.items() if given.get(key) not in (None, [])}
    if (given["user"] is None) != (given["password"] is None):
        raise UsageError("one needs the other: --basic-user and --basic-password")
    if given["user"] is not None:
        found[("auth", "basic")] = {"user": given["user"], "password": given["password"]}
    for key, option in (("headers", "--header"), ("endpoints", "--endpoint")):
        for pair in given[key]:
            name, equals, value = str(pair).partition("=")
            if not (name and equals):
                raise UsageError(f"{option} {pair}: expected NAME=VALUE")
            found[(key, name)] = value
    return found


@verb.command("list", epilog="Example:  stackctl instances list --json")
def list_(ctx: typer.Context) -> None:
    """List them as the file has them; nobody is asked."""
    from stackctl.commands.servers.instances import list_instances  # noqa: PLC0415

    present(ctx, list_instances(session(ctx)))


@verb.command("test", epilog="Examples:  stackctl instances test   ·   stackctl instances test gpu-box --from backend")
def check(
    ctx: typer.Context,
    names: list[str] = typer.Argument(None, help="Instances or URLs (default: all)", metavar="NAME|URL"),
    service: str = typer.Option(None, "--from", help="Ask from inside this service", metavar="SERVICE"),
    watch: bool = typer.Option(False, "--watch", help="Again and again, until Ctrl-C"),
    interval: float = typer.Option(5.0, "--interval", help="Seconds between two rounds of --watch", min=0.5),
) -> None:
    """Ask all at once how they are: state, latency, version, models in memory."""
    from stackctl.commands.servers import instances  # noqa: PLC0415

    here = session(ctx)
    if watch:
        with closing(instances.watch_instances(here, names or [], service=service)) as rounds:
            watching(ctx, rounds.__next__, interval)
    present(ctx, instances.check_instances(here, names or [], service=service))


@verb.command("add", epilog="Example:  stackctl instances add gpu-box http://192.168.1.20:11434 --priority 1")
def add(
    ctx: typer.Context,
    name: str = _NAME,
    url: str = typer.Argument(..., help="Address, with http:// or https://", metavar="URL"),
    priority: int = _PRIORITY,
    timeout: str = _TIMEOUT,
    address: str = _ADDRESS,
    bearer: str = _BEARER,
    user: str = _USER,
    password: str = _PASSWORD,
    header: list[str] = _HEADER,
    ca_file: str = _CA,
    server_name: str = _SNI,
    verify: bool = _VERIFY,
    model: list[str] = _MODEL,
    endpoint: list[str] = _ENDPOINT,
    enabled: bool = _ENABLED,
) -> None:
    """Add one to stackctl.yaml; comments and order stay."""
    from stackctl.commands.servers import instances_edit  # noqa: PLC0415

    settings = _settings(
        priority=priority,
        timeout=timeout,
        address=address,
        bearer=bearer,
        user=user,
        password=password,
        headers=header,
        ca_file=ca_file,
        server_name=server_name,
        verify=verify,
        models=model,
        endpoints=endpoint,
        enabled=enabled,
    )
    present(ctx, instances_edit.add(session(ctx), name, url, settings))


@verb.command("edit", epilog="Example:  stackctl instances edit gpu-box --priority 2 --unset auth")
def edit(
    ctx: typer.Context,
    name: str = _NAME,
    url: str = _URL,
    priority: int = _PRIORITY,
    timeout: str = _TIMEOUT,
    address: str = _ADDRESS,
    bearer: str = _BEARER,
    user: str = _USER,
    password: str = _PASSWORD,
    header: list[str] = _HEADER,
    ca_file: str = _CA,
    server_name: str = _SNI,
    verify: bool = _VERIFY,
    model: list[str] = _MODEL,
    endpoint: list[str] = _ENDPOINT,
    enabled: bool = _ENABLED,
    unset: list[str] = typer.Option([], "--unset", help="Take a setting away, such as auth or tls.ca_file; repeats"),
) -> None:
    """Change one in stackctl.yaml; comments and order stay."""
    from stackctl.commands.servers import instances_edit  # noqa: PLC0415

    changes = _settings(
        url=url,
        priority=priority,
        timeout=timeout,
        address=address,
        bearer=bearer,
        user=user,
        password=password,
        headers=header,
        ca_file=ca_file,
        server_name=server_name,
        verify=verify,
        models=model,
        endpoints=endpoint,
        enabled=enabled,
    )
    # One kind of credentials replaces the other.
    if ("auth", "bearer") in changes:
        changes = {("auth", "basic"): None, **changes}
    elif ("auth", "basic") in changes:
        changes = {("auth", "bearer"): None, **changes}
    changes.update({tuple(path.split(".")): None for path in unset})
    present(ctx, instances_edit.change(session(ctx), name, changes))


@verb.command("remove", epilog="Example:  stackctl instances remove gpu-box --yes")
def remove(
    ctx: typer.Context, name: str = _NAME, yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask")
) -> None:
    """Remove one from stackctl.yaml."""
    from stackctl.commands.servers import instances_edit  # noqa: PLC0415

    present(ctx, instances_edit.remove(session(ctx), name, yes=yes))
