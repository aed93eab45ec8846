"""``stackctl instances list|test``: the Ollama servers of ``stackctl.yaml``, and how each is."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from stackctl.commands.context.prober import Prober
from stackctl.commands.context.session import Session
from stackctl.commands.servers.inside import ask_from
from stackctl.commands.servers.known_servers import Inventory, as_consumer_sees, gather
from stackctl.config.models import Instance
from stackctl.errors import ExpectedFailure, UsageError
from stackctl.ollama.errors import State
from stackctl.ollama.health import Health, check_all
from stackctl.ollama.server import Server
from stackctl.outcome import Block, Line, Outcome, Table, Tone
from stackctl.ports import Container

Row = list[str | tuple[str, Tone]]
_TONES: dict[State, Tone] = {
    State.HEALTHY: "ok",
    State.UNREACHABLE: "bad",
    State.UNAUTHORISED: "bad",
    State.MISCONFIGURED: "bad",
    State.OVERLOADED: "warn",
    State.DISABLED: "dim",
}


def list_instances(session: Session) -> Outcome:
    """The instances as ``stackctl.yaml`` defines them; no server is contacted."""
    inventory = gather(session, with_local=False)
    config = inventory.stack.config
    active = inventory.members()
    entries: list[dict[str, Any]] = []
    for name, instance in config.instances.items():
        entries.append(
            {
                "name": name,
                "url": str(instance.url),
                "enabled": instance.enabled,
                "priority": instance.priority,
                "timeout_s": instance.timeout,
                "address": instance.address,
                "auth": _auth(instance),
                "secret": _secret(instance, inventory.stack.variables),
                "headers": sorted(instance.headers),
                "tls": {
                    "verify": instance.tls.verify,
                    "ca_file": instance.tls.ca_file,
                    "server_name": instance.tls.server_name,
                },
                "endpoints": instance.endpoints.model_dump(exclude_none=True),
                "models": inventory.required(name),
                "profiles": [p for p, profile in config.profiles.items() if name in profile.use],
                "active": name in active,
            }
        )
    rows: list[Row] = [
        [
            (f"{e['name']}{' *' if e['active'] else ''}", "plain" if e["enabled"] else "dim"),
            str(e["url"]),
            str(e["priority"]),
            f"{e['timeout_s']:g}s",
            f"{e['auth']} ({e['secret']})" if e["auth"] else "-",
            ", ".join(e["models"]) or "-",
            "yes" if e["enabled"] else ("no", "warn"),
        ]
        for e in entries
    ]
    blocks: list[Block] = (
        [Table(["name", "url", "priority", "timeout", "auth", "models", "enabled"], rows)] if rows else []
    )
    if not rows:
        blocks.append(Line("no instances in stackctl.yaml", "dim"))
    next_steps = ["stackctl instances test"] if rows else ["stackctl instances add NAME URL"]
    return Outcome("stackctl.instances/1", {"instances": entries}, blocks, next_steps)


def _auth(instance: Instance) -> str | None:
    if instance.auth is None:
        return None
    return "bearer" if instance.auth.bearer else "basic"


def _secret(instance: Instance, variables: Mapping[str, str]) -> str | None:
    """Whether the secret is available, as far as that can be told without reading it."""
    if instance.auth is None:
        return None
    reference = instance.auth.bearer or (instance.auth.basic.password if instance.auth.basic else None)
    if reference is None:
        return None
    if reference.source == "env":
        return "set" if variables.get(reference.argument) else "unset"
    return "by command" if reference.source == "cmd" else "by file"


def check_instances(session: Session, names: Sequence[str], *, service: str | None = None) -> Outcome:
    """Ask every instance at once, from here or from inside ``service``. Code 1 when an enabled one is not healthy."""
    inventory = gather(session, with_local=False)
    count = len(_servers(inventory, names))
    with Prober(session.engine) as prober, session.reporter.step(f"asking {count} instance{'s' if count != 1 else ''}"):
        return _ask(inventory, names, service, prober)


def watch_instances(
    session: Session, names: Sequence[str], *, service: str | None = None
) -> Generator[Outcome, None, None]:
    """An endless series of such outcomes; the configuration is read anew for each."""
    with Prober(session.engine) as prober:
        while True:
            yield _ask(gather(session, with_local=False), names, service, prober)


def _servers(inventory: Inventory, names: Sequence[str]) -> list[Server]:
    servers = inventory.chosen(names)
    if not servers:
        raise UsageError("there are no instances in stackctl.yaml", hint="stackctl instances add NAME URL")
    return servers


def _ask(inventory: Inventory, names: Sequence[str], service: str | None, prober: Prober) -> Outcome:
    servers = _servers(inventory, names)
    if service is None:
        found = {health.name: health for health in check_all(servers, inventory.connect)}
        return present([found[server.name] for server in servers], service)
    consumer = consumer_of(inventory, service)
    return present(
        ask_from(prober, consumer, [as_consumer_sees(inventory.session, s, consumer) for s in servers]), service
    )


def consumer_of(inventory: Inventory, service: str) -> Container:
    """The running container of a service."""
    found = [c for c in inventory.containers() if c.service == service]
    running = next((c for c in found if c.state == "running"), None)
    if running is not None:
        return running
    if found:
        raise ExpectedFailure(f"{service} does not run ({found[0].state})", hint="stackctl up")
    services = sorted({c.service for c in inventory.containers() if c.service})
    raise UsageError(
        f'no container of a service "{service}"', hint=f"running: {', '.join(services)}" if services else "stackctl up"
    )


def present(found: Sequence[Health], service: str | None) -> Outcome:
    """A table of states, and below it each problem with its remedy."""
    rows: list[Row] = [
        [
            health.name,
            (str(health.state), _TONES[health.state]),
            "-" if health.latency is None else f"{health.latency * 1000:.0f} ms",
            health.version or "-",
            str(len(health.models)) if health.ok else "-",
            ", ".join(f"{item.name} ({item.processor})" for item in health.loaded) or "-",
            health.checked,
        ]
        for health in found
    ]
    blocks: list[Block] = [Table(["instance", "state", "latency", "version", "models", "loaded", "checked"], rows)]
    for health in found:
        if health.message:
            blocks.append(Line(f"{health.name}: {health.message}", _TONES[health.state]))
            if health.hint:
                blocks.append(Line(f"→ {health.hint}", "dim", 1))
    bad = [health for health in found if not health.ok and health.state is not State.DISABLED]
    data = {
        "ok": not bad,
        "from": service or "host",
        "instances": [health.document() for health in found],
    }
    return Outcome("stackctl.instances-test/1", data, blocks, code=1 if bad else 0)
