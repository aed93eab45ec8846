"""Signs of name resolution, and of the networks that decide it."""

from __future__ import annotations

import difflib
import ipaddress
import re

from stackctl.diagnose.scene import Scene
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import Board, Case
from stackctl.ports import Container
from stackctl.project.localollama import OFF_PROFILE


def read(case: Case, board: Board) -> None:
    """Whether the name resolves, to what, and who it should have been."""
    if case.setting.url is None:
        return
    _networks(case, board)
    _resolver(case, board)
    if case.host in case.extra_hosts:
        board.note(
            Sign.NAME_PINNED,
            f"extra_hosts pins {case.host} to {case.extra_hosts[case.host]}",
        )
    resolved = case.aim.resolved
    if resolved is None:
        if case.seen is None or not case.seen.able:
            board.note(Sign.PROBE_UNABLE)
            _who(case, board)
        return
    if resolved.addresses:
        board.words["address"] = resolved.addresses[0]
        _families(case, board)
        _collision(case, board)
        _foreign(case, board)
        _pinned_elsewhere(case, board)
    else:
        board.note(
            Sign.NAME_FAILED,
            f"{case.host} does not resolve: {resolved.error} after {resolved.ms:.0f} ms, {case.where}",
            code=resolved.error,
        )
        kinds = {"EAI_AGAIN": Sign.NAME_AGAIN, "TIMEOUT": Sign.NAME_SILENT}
        board.note(kinds.get(resolved.error, Sign.NAME_UNKNOWN))
    _who(case, board)
    _elsewhere(case, board)


def _networks(case: Case, board: Board) -> None:
    by_name = {str(n.get("Name")): n for n in case.scene.networks}
    names = list(case.container.networks) if case.container else _would_join(case)
    mine = [by_name[n] for n in names if n in by_name]
    board.words["network"] = names[0] if names else "default"
    if case.container and names == ["bridge"]:
        board.note(
            Sign.NET_DEFAULT_BRIDGE, f"{case.setting.consumer} is on Docker's default bridge, which has no name service"
        )
    if mine and all(n.get("Internal") for n in mine):
        board.note(Sign.NET_INTERNAL, f"every network of {case.setting.consumer} is internal: {', '.join(names)}")
    for network in mine:
        if network.get("Driver") in ("macvlan", "ipvlan"):
            board.note(
                Sign.NET_MACVLAN,
                f"{network.get('Name')} is a {network.get('Driver')} network",
                driver=str(network.get("Driver")),
            )
    if case.network_mode.startswith("container:"):
        _shared(case, board, case.network_mode.removeprefix("container:"))
    files = case.seen.files if case.seen else {}
    if "/proc/net/dev" in files:
        interfaces = [line.partition(":")[0].strip() for line in files["/proc/net/dev"].splitlines() if ":" in line]
        if [
            i
            for i in interfaces
            if i
            not in (
                "lo",
                "sit0",
                "tunl0",
                "ip6tnl0",
                "gre0",
                "gretap0",
                "erspan0",
                "ip_vti0",
                "ip6_vti0",
                "ip6gre0",
                "teql0",
            )
        ] == []:
            board.note(Sign.NET_ONLY_LO, f"{case.setting.consumer} has no interface but lo")
        tunnels = [i for i in interfaces if re.match(r"tun|wg|tap|ppp", i)]
        if tunnels:
            board.note(Sign.NET_TUNNEL, f"the network namespace has {tunnels[0]}")
    routes = files.get("/proc/net/route", "")
    if routes and not any(r.split()[1:2] == ["00000000"] for r in routes.splitlines()[1:] if len(r.split()) > 2):
        board.note(Sign.ROUTE_NONE, f"{case.setting.consumer} has no default route")


def _would_join(case: Case) -> list[str]:
    if case.service is None:
        return []
    return [
        str((case.scene.project.networks.get(key) or {}).get("name") or f"{case.scene.project.name}_{key}")
        for key in case.service.networks
    ]


def namespace_lost(scene: Scene, service: str, board: Board) -> None:
    """A service that runs in the network of a container that is gone, or was started again since, has lost it."""
    container = scene.container(service)
    if container is None or container.state != "running" or not container.network_mode.startswith("container:"):
        return
    identifier = container.network_mode.removeprefix("container:")
    owner = scene.by_id(identifier)
    there = owner is not None and owner.state == "running"
    if owner is not None and there and (owner.network_mode == "host" or owner.started_at <= container.started_at):
        return
    wanted = scene.project.services[service].network_mode.removeprefix("service:")
    name = wanted if wanted in scene.project.services else owner.name if owner is not None else identifier[:12]
    what = "is gone" if owner is None else f"is {owner.state}, started later than {container.name}"
    board.note(Sign.NAMESPACE_LOST, f"{container.name} stands in the network of {name}, which {what}", owner=name)


def _shared(case: Case, board: Board, owner_id: str) -> None:
    owner = case.scene.by_id(owner_id)
    if owner is None or owner.state != "running":
        name = owner.name if owner else owner_id[:12]
        board.note(
            Sign.SHARED_GONE, f"{case.setting.consumer} borrows the network of {name}, which is not running", owner=name
        )
        return
    board.note(
        Sign.NET_SHARED, f"{case.setting.consumer} uses the network of {owner.name}", owner=owner.service or owner.name
    )
    if case.container and owner.started_at > case.container.started_at:
        board.note(
            Sign.SHARED_RESTARTED,
            f"{owner.name} was started again after {case.container.name}",
            owner=owner.service or owner.name,
        )
    if "gluetun" in str((owner.raw.get("Config") or {}).get("Image")) or "vpn" in owner.name:
        board.note(Sign.NET_VPN, f"{owner.name} is a VPN container")


def _resolver(case: Case, board: Board) -> None:
    text = (case.seen.files if case.seen else {}).get("/etc/resolv.conf", "")
    search = re.search(r"(?m)^search[ \t]+(\S.*)$", text)
    if search and search[1].split() != ["."]:
        board.note(Sign.RESOLVER_SEARCH, f"resolv.conf searches {search[1].strip()}", search=search[1].split()[0])
    servers = re.search(r"ExtServers: \[([^\]]*)\]", text)
    if servers:
        board.words["ext_servers"] = servers[1]
        if "127.0.0.53" in servers[1]:
            board.note(Sign.RESOLVER_STUB, f"Docker forwards to {servers[1]}, the stub of systemd-resolved")
    elif "127.0.0.53" in case.scene.host.resolver or "systemd-resolved" in case.scene.host.resolver:
        board.note(Sign.RESOLVER_STUB_ON_HOST, "the host's resolver is the stub of systemd-resolved")


def _families(case: Case, board: Board) -> None:
    addresses = case.aim.resolved.addresses if case.aim.resolved else ()
    six = [a for a in addresses if ":" in a]
    if addresses and len(six) == len(addresses):
        board.note(Sign.NAME_ONLY_V6, f"{case.host} has only IPv6 addresses: {', '.join(six)}", v6=six[0])
    by = {c.address: c for c in case.aim.connected}
    bad_six = [a for a in six if a in by and not by[a].ok]
    good_four = [a for a in addresses if ":" not in a and a in by and by[a].ok]
    if bad_six and good_four:
        seen = f"fails ({by[bad_six[0]].error}), {good_four[0]} answers, {case.where}"
        board.note(Sign.V6_FAILS, f"{bad_six[0]} {seen}", v6=bad_six[0], v4=good_four[0])
        if addresses[0] in bad_six:
            board.note(Sign.V6_FIRST_FAILS, f"{bad_six[0]} comes first and {seen}", v6=bad_six[0], v4=good_four[0])
    good_six = [a for a in six if a in by and by[a].ok]
    bad_four = [a for a in addresses if ":" not in a and a in by and by[a].error == "ECONNREFUSED"]
    if good_six and bad_four:
        board.note(
            Sign.V4_REFUSED_V6_OK,
            f"{bad_four[0]} refuses, {good_six[0]} answers, {case.where}",
            v4=bad_four[0],
            v6=good_six[0],
        )


def _running_named(case: Case) -> list[Container]:
    """Who runs under this name where the consumer can know it: in its project, or on a network of its own."""
    mine = {c.id for c in case.scene.containers}
    running = [c for c in case.bearers if c.state == "running"]
    return [c for c in running if c.id in mine or case.attached & set(c.networks)]


def _collision(case: Case, board: Board) -> None:
    addresses = [a for a in (case.aim.resolved.addresses if case.aim.resolved else ()) if ":" not in a]
    owners = {o.id: o for a in addresses if (o := case.scene.owner_of(a)) is not None}
    kinds = {(c.labels.get("com.docker.compose.project"), c.service or c.name) for c in owners.values()}
    if len(addresses) > 1 and len(kinds) > 1:
        names = sorted(c.name for c in owners.values())
        mine = [c for c in owners.values() if c.id in {m.id for m in case.scene.containers}]
        board.note(
            Sign.NAME_COLLISION,
            f"{case.host} means {len(addresses)} containers: {', '.join(names)}",
            rivals=", ".join(names),
            unique=mine[0].name if mine else names[0],
        )


def _foreign(case: Case, board: Board) -> None:
    """An address that nobody here can have meant: a search domain's wildcard answered."""
    resolved = case.aim.resolved
    if resolved is None or Sign.URL_SINGLE_LABEL not in case.setting.marks or case.host in case.extra_hosts:
        return
    hosts = (case.seen.files if case.seen else {}).get("/etc/hosts", "")
    if re.search(rf"(?m)^[^#\n]*[ \t]{re.escape(case.host)}(?:[ \t]|$)", hosts):
        return
    subnets = [s for _, s, _ in case.scene.subnets()]
    outside = [
        a for a in resolved.addresses if not any(ipaddress.ip_address(a.partition("%")[0]) in s for s in subnets)
    ]
    if outside and not _running_named(case):
        board.note(
            Sign.NAME_FOREIGN,
            f"{case.host} resolves to {outside[0]}, which is no container's address",
            foreign=outside[0],
        )


def _pinned_elsewhere(case: Case, board: Board) -> None:
    """What the DNS says of a name that /etc/hosts pins: a trailing dot passes the file by."""
    pin = case.extra_hosts.get(case.host)
    if not pin or not case.seen:
        return
    dns = case.seen.names.get(f"{case.host}.")
    said = set(dns.addresses if dns else ()) or set(case.scene.host.names.get(case.host, ()))
    used = set(case.aim.resolved.addresses if case.aim.resolved else ())
    if said and not said & used:
        board.note(
            Sign.PIN_DIFFERS,
            f"/etc/hosts pins {case.host} to {', '.join(sorted(used))}, the DNS says {', '.join(sorted(said))}",
            dns_address=min(said),
        )


def _who(case: Case, board: Board) -> None:
    """Who bears the name on this engine, and does the consumer share a network with them?"""
    if case.setting.url is None or case.setting.url.ip is not None:
        return
    candidates = case.bearers
    service = case.scene.project.services.get(case.host)
    if service is not None:
        board.note(Sign.NAMED_SERVICE, target_service=service.name)
        if service.name not in case.scene.project.active and not any(
            c.service == service.name and c.state == "running" for c in case.scene.containers
        ):
            if OFF_PROFILE in service.profiles:
                board.note(
                    Sign.NAMED_SWITCHED_OFF,
                    f"a switch took {service.name} away; this project uses "
                    f"{case.scene.verified or 'another server'} now",
                    target_service=service.name,
                )
                return
            board.note(
                Sign.NAMED_PROFILE_OFF,
                f"the service {service.name} belongs to the profile {', '.join(service.profiles)}, which is off",
                profile=service.profiles[0] if service.profiles else "",
                target_service=service.name,
            )
    mine = case.attached if case.container else set(_would_join(case))
    running = [c for c in candidates if c.state == "running"]
    if running:
        common = [c for c in running if mine & set(c.networks)]
        theirs = [n for n in running[0].networks if n not in ("bridge", "host", "none")]
        if not common and not case.on_host_network:
            board.note(
                Sign.NAMED_ELSEWHERE,
                f"{running[0].name} runs, on {', '.join(running[0].networks)}; "
                f"{case.setting.consumer} is on {', '.join(sorted(mine)) or 'no network'}",
                target_container=running[0].name,
                target_network=theirs[0] if theirs else "",
            )
            if not theirs:
                board.note(Sign.NAMED_ON_DEFAULT_BRIDGE)
        board.note(
            Sign.NAMED_RUNNING,
            target_container=running[0].name,
            target_service=running[0].service or running[0].name,
        )
    elif candidates:
        dead = candidates[0]
        board.note(
            Sign.NAMED_STOPPED,
            f"the container {dead.name} is {dead.state} (exit code {dead.exit_code})",
            target_container=dead.name,
            target_service=dead.service or dead.name,
            state=dead.state,
        )
    elif service is not None:
        board.note(Sign.NAMED_NEVER, f"the service {service.name} has no container", target_service=service.name)
    else:
        known = sorted(set(case.scene.project.services) | {c.name for c in case.scene.containers})
        close = difflib.get_close_matches(case.host, known, n=1, cutoff=0.5)
        ollama = list(case.scene.ollama_services)
        board.note(
            Sign.NAMED_NOBODY,
            f"no service of {case.scene.project.name} and no container is called {case.host}",
            suggestion=(ollama or close or ["ollama"])[0],
        )


def _elsewhere(case: Case, board: Board) -> None:
    """The same name, asked on the host."""
    on_host = case.scene.host.names.get(case.host)
    if on_host:
        board.note(Sign.HOST_RESOLVES, f"the host resolves {case.host} to {on_host[0]}", host_address=on_host[0])
        if ipaddress.ip_address(on_host[0].partition("%")[0]) in ipaddress.ip_network("100.64.0.0/10"):
            board.note(Sign.URL_TAILNET)
    if case.seen:
        internal = [r for n, r in case.seen.names.items() if not n.endswith(".") and n != case.host]
        if any(r.addresses for r in internal):
            name = next(n for n, r in case.seen.names.items() if r.addresses)
            board.note(Sign.NAMES_OF_NETWORK_OK, f"{name} resolves in the same container")
