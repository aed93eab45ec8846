"""Signs of the way there: where the address lives, what connecting said, who listens, which rules stand between."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Literal

from stackctl.diagnose.answers import Connected, ProbeAnswers
from stackctl.diagnose.scene import ListeningSocket
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs import engine
from stackctl.diagnose.signs.board import STANDARD_PORT, Board, Case
from stackctl.diagnose.signs.life import seconds_of
from stackctl.ports import Container
from stackctl.sockets import parse_proc_net_tcp

FAST = 2000.0
"""ms. Below it an unreachable host was answered by a rule (at the second SYN, 1 s, where ICMP is rate-limited); ARP
gives up after about 3050 ms (measured), sooner for who joins a try under way: the neighbour table then decides."""


Place = Literal["self", "host", "container", "docker", "lan", "public"]
_PLACES: dict[Place, Sign] = {
    "host": Sign.TARGET_HOST,
    "container": Sign.TARGET_CONTAINER,
    "docker": Sign.TARGET_DOCKER,
    "lan": Sign.TARGET_LAN,
    "public": Sign.TARGET_PUBLIC,
}
_REFUSALS = {
    "ECONNREFUSED": Sign.CONNECT_REFUSED,
    "TIMEOUT": Sign.CONNECT_TIMEOUT,
    "ENETUNREACH": Sign.CONNECT_NO_NETWORK,
    "EADDRNOTAVAIL": Sign.CONNECT_NO_NETWORK,
    "EHOSTUNREACH": Sign.CONNECT_UNREACHABLE,
    "EACCES": Sign.CONNECT_FORBIDDEN,
    "EPERM": Sign.CONNECT_FORBIDDEN,
}


def read(case: Case, board: Board) -> None:
    """Connect results first, then what the engine and the host say of the same address."""
    tried = case.tried
    if case.setting.url is None:
        return
    engine.read(case.scene, board)
    if tried is None:
        return
    place = where_is(case, tried.address)
    board.words.setdefault("address", tried.address)
    if place != "self":
        board.note(_PLACES[place])
    _connect(case, board, tried)
    _neighbour_port(case, board, tried)
    if tried.ok:
        if place == "host" or (place == "self" and case.on_host_network):
            _behind(case, board, tried)
        return
    if place == "container":
        _container(case, board, tried)
    if place in ("host", "self") and (place == "host" or case.on_host_network):
        _host(case, board, tried)
    if place in ("lan", "docker", "public", "host"):
        _beyond(case, board, tried)
    _ownership(case, board, tried)


def where_is(case: Case, address: str) -> Place:
    """``self``, ``host``, ``container``, ``docker`` (an engine subnet, owner unknown), ``lan`` or ``public``."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "public"
    if ip.is_loopback or ip.is_unspecified:
        return "self"
    if case.scene.owner_of(address) is not None:
        return "container"
    if address in case.scene.gateways() or address in case.scene.host.addresses:
        return "host"
    if any(ip in subnet for _, subnet, _ in case.scene.subnets() if subnet.version == ip.version):
        return "docker"
    private = ip.is_private or ip in ipaddress.ip_network("100.64.0.0/10") if ip.version == 4 else ip.is_private
    return "lan" if private or ip.is_reserved else "public"


def _connect(case: Case, board: Board, tried: Connected) -> None:
    at = f"{tried.address}:{tried.port}"
    if tried.ok:
        board.note(Sign.CONNECT_OK, f"{at} accepted after {tried.ms:.1f} ms, {case.where}")
        return
    line = f"{at}: {tried.error} after {tried.ms:.1f} ms, {case.where}"
    board.note(Sign.CONNECT_BAD, line)
    refusal = _REFUSALS.get(tried.error)
    if refusal is not None:
        board.note(refusal, line)
    if tried.error in ("ECONNRESET", "EPIPE"):
        board.note(Sign.HTTP_RESET, f"{at} accepts and resets at once, {case.where}")
    if refusal is Sign.CONNECT_UNREACHABLE:
        board.note(
            Sign.CONNECT_UNREACHABLE_FAST if tried.ms < FAST else Sign.CONNECT_UNREACHABLE_SLOW,
            f"{at}: EHOSTUNREACH after {tried.ms:.0f} ms, {case.where}",
        )


def _container(case: Case, board: Board, tried: Connected) -> None:
    """A container has the address: which ports does it listen on, inside?"""
    target = case.scene.owner_of(tried.address)
    if target is None:
        return
    board.words.setdefault("target_container", target.name)
    board.words.setdefault("target_service", target.service or target.name)
    ports = (target.raw.get("NetworkSettings") or {}).get("Ports") or {}
    for inner, bindings in ports.items():
        number = int(inner.split("/")[0])
        for binding in bindings or []:
            if str(binding.get("HostPort")) == str(tried.port) and number != tried.port:
                board.note(
                    Sign.PORT_IS_PUBLISHED,
                    f"{tried.port} is the host's port of {target.name}; inside it listens on {number}",
                    inner=str(number),
                )
    server = case.scene.servers.get(target.name)
    if server is None or not server.files:
        return
    here = list(listeners(server))
    mine = [x for x in here if x.port == tried.port]
    if not mine:
        others = sorted({x.port for x in here if not x.loopback})
        board.note(
            Sign.INSIDE_NO_LISTENER,
            f"nothing listens on {tried.port} inside {target.name}"
            + (f"; it listens on {', '.join(map(str, others))}" if others else ""),
        )
        if len(others) == 1 or STANDARD_PORT in others:
            board.note(Sign.INSIDE_OTHER_PORT, inner=str(STANDARD_PORT if STANDARD_PORT in others else others[0]))
    elif all(x.loopback for x in mine):
        board.note(
            Sign.INSIDE_LOOPBACK,
            f"{target.name} listens on {mine[0].address}:{mine[0].port} only, seen in its own network",
        )
    elif not any(x.takes(tried.address) for x in mine):
        board.note(
            Sign.INSIDE_ONE_ADDRESS,
            f"{target.name} listens on {mine[0].address}:{mine[0].port} only",
            listen=mine[0].address,
        )


def _behind(case: Case, board: Board, tried: Connected) -> None:
    """A published port accepts whatever stands behind it: does the container listen on its loopback only?"""
    for container, _ in _published(case, tried.port)[:1]:
        server, inner = case.scene.servers.get(container.name), _inner(container, tried.port)
        mine = [x for x in listeners(server) if str(x.port) == inner] if server else []
        if mine and all(x.loopback for x in mine):
            board.note(
                Sign.PUBLISHED_INSIDE_LOOPBACK,
                f"{container.name} listens on {mine[0].address}:{inner} only, seen in its own network",
                target_container=container.name,
                target_service=container.service or container.name,
            )


def listeners(seen: ProbeAnswers) -> Iterator[ListeningSocket]:
    """Listening sockets of the namespace that a probe stood in."""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for socket in parse_proc_net_tcp(seen.files.get(path, "")):
            yield ListeningSocket(socket.address, socket.port)


def _published(case: Case, port: int) -> list[tuple[Container, dict[str, Any]]]:
    found = []
    for container in case.scene.everything:
        if container.state != "running":
            continue
        ports = (container.raw.get("NetworkSettings") or {}).get("Ports") or {}
        for bindings in ports.values():
            found += [(container, b) for b in bindings or [] if str(b.get("HostPort")) == str(port)]
    return found


def _would_publish(case: Case, port: int) -> Container | None:
    """A container that does not run, and is to publish this port: the project's own first."""
    for container in case.scene.everything:
        bindings = ((container.raw.get("HostConfig") or {}).get("PortBindings") or {}).values()
        if container.state != "running" and any(
            str(b.get("HostPort")) == str(port) for some in bindings for b in some or []
        ):
            return container
    return None


def _publisher(case: Case, board: Board, port: int) -> None:
    """The container that publishes the port on the host, or is to and does not run."""
    published = _published(case, port)
    if published:
        container, binding = published[0]
        board.note(
            Sign.HOST_PUBLISHED,
            f"{container.name} publishes {port} on {binding.get('HostIp') or '0.0.0.0'}",  # noqa: S104
            target_container=container.name,
            target_service=container.service or container.name,
            inner=_inner(container, port),
            target_network=next(iter(container.networks), ""),
        )
        if str(binding.get("HostIp") or "").startswith("127."):
            board.note(Sign.HOST_PUBLISHED_LOOPBACK, f"{container.name} publishes {port} on {binding['HostIp']} only")
    elif (stopped := _would_publish(case, port)) is not None:
        board.note(
            Sign.HOST_PUBLISHER_DOWN,
            f"{stopped.name}, which publishes {port}, is {stopped.state} (exit code {stopped.exit_code})",
            target_container=stopped.name,
            state=stopped.state,
        )


def _host(case: Case, board: Board, tried: Connected) -> None:
    """The address is the engine's host: who listens there, and may we come in?"""
    _publisher(case, board, tried.port)
    host = case.scene.host
    if not host.known:
        board.note(Sign.HOST_UNSEEN, "the engine's host cannot be looked at from here")
        return
    mine = [x for x in host.listeners if x.port == tried.port]
    names = ", ".join(sorted({f"{x.address}:{x.port}" + (f" ({x.process})" if x.process else "") for x in mine}))
    if not mine:
        board.note(Sign.HOST_NO_LISTENER, f"nothing listens on port {tried.port} of the host, seen from the host")
        others = sorted({x.port for x in host.listeners if "ollama" in x.process})
        if others:
            board.note(Sign.HOST_OTHER_PORT, f"ollama listens on {others[0]}", inner=str(others[0]))
    elif any(x.takes(tried.address, v6only=bool(host.bindv6only)) for x in mine):
        board.note(Sign.HOST_LISTENS, f"the host listens on {names}, seen from the host", listen=names)
        only_six = all(ipaddress.ip_address(x.address).version == 6 for x in mine)
        if (
            only_six
            and ":" not in tried.address
            and tried.error == "ECONNREFUSED"
            and not host.rules_reject(tried.port)
        ):
            board.note(Sign.HOST_V6_ONLY, f"the host listens on {names} only, for IPv6", listen=names)
    elif host.bindv6only and any(x.everywhere for x in mine):
        board.note(Sign.HOST_V6_ONLY, f"net.ipv6.bindv6only is 1 and the host listens on {names}", listen=names)
    elif all(x.loopback for x in mine):
        board.note(Sign.HOST_LOOPBACK_ONLY, f"the host listens on {names} only, seen from the host", listen=names)
    else:
        specific = next(x for x in mine if not x.loopback)
        board.note(
            Sign.HOST_ONE_ADDRESS, f"the host listens on {names} only, seen from the host", listen=specific.address
        )
    _unit(case, board)


def _inner(container: Container, port: int) -> str:
    ports = (container.raw.get("NetworkSettings") or {}).get("Ports") or {}
    return next(
        (k.split("/")[0] for k, bs in ports.items() if any(str(b.get("HostPort")) == str(port) for b in bs or [])),
        "11434",
    )


def _unit(case: Case, board: Board) -> None:
    """Ollama's systemd unit, where the host has one."""
    host = case.scene.host
    if "ollama" in host.snaps:
        board.note(Sign.HOST_SNAP, "Ollama is installed as a snap")
    if not host.unit:
        return
    dropins = {p: t for p, t in host.unit.items() if ".service.d/" in p}
    text = "\n".join(host.unit.values())
    wanted = re.findall(r"OLLAMA_HOST=([^\s\"'“”]+)", text)
    open_wanted = [w for w in wanted if not re.match(r"(?:https?://)?(?:127\.|localhost|\[?::1)", w)]
    running = host.process_environment.get("OLLAMA_HOST", "")
    if re.search(r"Environment=[^\n]*[“”‘’]", text) or "Invalid environment assignment" in host.journal:
        board.note(Sign.UNIT_NOT_APPLIED, "the unit sets OLLAMA_HOST in typographic quotes, which systemd ignores")
    elif open_wanted and running != open_wanted[-1]:
        board.note(
            Sign.UNIT_NOT_APPLIED,
            f"the unit says OLLAMA_HOST={open_wanted[-1]}, the running process has "
            + (f"OLLAMA_HOST={running}" if running else "none"),
        )
    if not dropins and host.unit_time and host.binary_time and abs(host.unit_time - host.binary_time) < 600:
        created = _created(case.container)
        if not wanted and ((created and created < host.unit_time) or case.scene.verified == str(case.setting.url)):
            board.note(
                Sign.UNIT_REWRITTEN,
                "the unit file is as new as the binary, newer than this container, and has no drop-in",
            )
    if "cannot assign requested address" in host.journal:
        board.note(Sign.UNIT_BIND_FAILED, "the unit's journal says: bind: cannot assign requested address")


def _created(container: Container | None) -> float | None:
    return seconds_of(str(container.raw.get("Created") or "")) if container else None


def _beyond(case: Case, board: Board, tried: Connected) -> None:
    """From the host to the same address, and what the host does with what passes through it."""
    host = case.scene.host
    if not host.known:
        board.note(Sign.HOST_UNSEEN, "the engine's host cannot be looked at from here")
        return
    other = host.tries.get((tried.address, tried.port))
    if other is not None:
        verdict = "accepted" if not other.error else f"{other.error} after {other.ms:.0f} ms"
        board.note(
            Sign.HOST_TRY_OK if not other.error else Sign.HOST_TRY_BAD,
            f"{tried.address}:{tried.port} tried from the host: {verdict}",
        )
        if other.error == "TIMEOUT":
            board.note(Sign.HOST_TRY_TIMEOUT)
    state = host.neighbours.get(tried.address)
    if state:
        board.note(
            Sign.HOST_NEIGHBOUR_UP if state in ("REACHABLE", "STALE", "DELAY", "PROBE") else Sign.HOST_NEIGHBOUR_DOWN,
            f"the host's neighbour table says {state} for {tried.address}",
        )
    if host.ip_forward is False:
        board.note(Sign.HOST_NO_FORWARD, "net.ipv4.ip_forward is 0 on the host")
    if host.daemon.get("iptables") is False:
        board.note(Sign.DAEMON_NO_IPTABLES, 'the daemon\'s configuration says "iptables": false')
    if host.rules is not None:
        _rules(board, host.rules, tried.port)
    bridge = case.further_aim("bridge")
    if any(c.ok for c in bridge.connected):
        board.note(Sign.BRIDGE_OK, f"from Docker's default bridge {tried.address}:{tried.port} accepts")


def _rules(board: Board, rules: str, port: int) -> None:
    """What the firewall of the host does with packets from containers to ``port``."""
    board.note(Sign.RULES_KNOWN)
    if re.search(r"(?m)^table (?:inet|ip) (?!nat|filter|mangle|raw)\S+ \{", rules):
        board.note(Sign.RULES_NFT)
    if "MASQUERADE" not in rules and "masquerade" not in rules:
        board.note(Sign.RULES_NO_MASQUERADE, "the host's nat table has no MASQUERADE for containers")
    if drop := _rule(rules, port, r"DROP|REJECT"):
        board.note(Sign.RULES_BLOCK, f"a rule of the host: {drop}")
    if re.search(r"-A ufw-", rules) or "ufw-user-input" in rules:
        board.note(Sign.RULES_UFW, "ufw is active on the host")
    if re.search(r"firewalld|IN_public|IN_docker", rules):
        board.note(Sign.RULES_FIREWALLD, "firewalld is active on the host")
    if re.search(r"(?m)^-A (?:INPUT|ufw\S*|IN_\S*)\b[^\n]*(?:-i docker0\b|-s 172\.17\.0\.0/16)[^\n]*-j ACCEPT", rules):
        board.note(Sign.RULES_DOCKER0_ONLY, "the rule that lets containers in names docker0 or 172.17.0.0/16")


def _rule(rules: str, port: int, verdict: str) -> str:
    """The first INPUT-like rule that ends a packet for this port (or for all)."""
    for line in rules.splitlines():
        if re.search(rf"-j (?:{verdict})\b", line) and ("INPUT" in line or "ufw-user" in line or "IN_" in line):
            ports = re.search(r"--dports? (\S+)", line)
            if ports is None or str(port) in re.split(r"[,:]", ports[1]):
                return line.strip()[:160]
    native = rf"(?m)^.*\bdport (?:\{{[^}}]*\b)?{port}\b.*\b(?:{verdict.lower()})\b.*$"
    if found := re.search(native, rules):
        return found[0].strip()[:160]
    if re.search(r"(?m)^:INPUT (?:DROP|REJECT)|hook input [^;]*; policy drop", rules):
        return "the policy of INPUT is DROP"
    return ""


def _ownership(case: Case, board: Board, tried: Connected) -> None:
    """Whose network is the address in?"""
    mine = case.attached
    owner = case.scene.owner_of(tried.address)
    if owner is not None and mine and not mine & set(owner.networks):
        theirs = [n for n in owner.networks if n not in ("host", "none")]
        board.note(
            Sign.ADDRESS_OTHER_NETWORK,
            f"{tried.address} belongs to {owner.name} on {', '.join(theirs)}, where {case.setting.consumer} is not",
            target_container=owner.name,
            target_service=owner.service or owner.name,
            target_network=theirs[0] if theirs else "",
        )
    if owner is None:
        try:
            ip = ipaddress.ip_address(tried.address.partition("%")[0])
        except ValueError:
            return
        for name, subnet, _ in case.scene.subnets():
            if subnet.version == ip.version and ip in subnet and tried.address not in case.scene.gateways():
                board.note(
                    Sign.ADDRESS_IN_DOCKER_SUBNET,
                    f"{tried.address} lies in {subnet} of the Docker network {name}, and no container has it",
                    overlap=name,
                    subnet=subnet,
                )


def _neighbour_port(case: Case, board: Board, tried: Connected) -> None:
    """Does Ollama's own port answer where the one asked does not?"""
    seen = case.further or case.seen
    if tried.port == STANDARD_PORT or seen is None:
        return
    if any(c.ok and c.port == STANDARD_PORT and c.address == tried.address for c in seen.connects):
        board.note(
            Sign.PORT_STANDARD_OPEN,
            f"{tried.address}:{STANDARD_PORT} accepts, {tried.port} {'too' if tried.ok else 'does not'}, {case.where}",
        )
