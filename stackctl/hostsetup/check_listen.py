"""Whether Ollama runs, who holds its port, and from where that port can be reached at all."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from stackctl.config.url import host_port
from stackctl.hostsetup.findings import Finding, Result, result
from stackctl.hostsetup.firewall import subject_for
from stackctl.hostsetup.host_plan import Network
from stackctl.hostsetup.observed import HeldSocket, HostObserved, Process
from stackctl.hostsetup.ollama_host import parse_ollama_host
from stackctl.sockets import is_loopback, is_wildcard

_PROXIES = frozenset({"nginx", "caddy", "haproxy", "traefik", "apache2", "httpd", "envoy"})


def server(seen: HostObserved, _sources: Sequence[Network]) -> Result:
    """Whether an Ollama runs, and only one."""
    running = seen.servers
    outside = [p for p in running if not p.container]
    listed = ", ".join(_name(p) for p in running)
    if seen.on_port and not running:
        holder = seen.on_port[0].process
        if not seen.root and holder is None:
            return result("server", "Ollama runs", "a socket listens, and only root sees whose it is", unknown=True)
        if seen.greeting and "Ollama is running" in seen.greeting:
            return result("server", "Ollama runs", f"port {seen.port} answers as Ollama")
    if not outside and not seen.on_port:
        return result("server", "Ollama runs", "no Ollama runs", _not_running(seen))
    if len(outside) > 1 or (outside and len(running) > len(outside)):
        finding = Finding(
            "different-instance-or-store",
            "warning" if len(outside) > 1 else "info",
            f"{len(running)} Ollama servers run on this machine, each with models of its own",
            tuple(_name(p) for p in running),
            "keep one, or give each its port and tell every consumer which it is to use",
            ("ss -ltnp",),
        )
        return result("server", "Ollama runs", listed, finding, servers=[p.pid for p in running])
    if not running:
        return Result("server", "Ollama runs", "failed", f"another program holds port {seen.port}")
    return result("server", "Ollama runs", listed, servers=[p.pid for p in running])


def _name(process: Process) -> str:
    where = f" in container {process.container[:12]}" if process.container else ""
    return f"{process.executable or process.name} (pid {process.pid}, user {process.user}){where}"


def _not_running(seen: HostObserved) -> Finding:
    log = [line for line in seen.journal.splitlines() if line.strip()]
    unit = seen.properties or {}
    evidence = [f"nothing listens on port {seen.port}"]
    if unit.get("LoadState") == "loaded":
        evidence.append(f"ollama.service is {unit.get('ActiveState', '?')} ({unit.get('Result', '?')})")
    for line in reversed(log):
        if "cannot assign requested address" in line:
            return Finding(
                "bind-before-docker0",
                "error",
                "Ollama could not bind: the address was not there yet",
                (*evidence, line.strip()),
                "make the unit wait for Docker and try again, or bind to every address behind a firewall",
                ("sudo stackctl host-setup systemd --bind 172.17.0.1 --apply", "sudo systemctl restart ollama"),
            )
        if "address already in use" in line:
            return Finding(
                "port-already-allocated",
                "error",
                "Ollama could not bind: another program held its port",
                (*evidence, line.strip()),
                "free the port, or give Ollama another",
                (f"ss -ltnp 'sport = :{seen.port}'",),
            )
    if log:
        evidence.append(log[-1].strip())
    commands = ["sudo systemctl enable --now ollama", "journalctl -u ollama -n 50"] if unit else ["ollama serve"]
    return Finding(
        "ollama-not-running", "error", "no Ollama runs on this machine", tuple(evidence), "start it", tuple(commands)
    )


def owner(seen: HostObserved, _sources: Sequence[Network]) -> Result:
    """Who holds the port."""
    title = f"Port {seen.port} is Ollama's"
    holders = {held.process.pid: held.process for held in seen.on_port if held.process}
    if not seen.on_port:
        return _elsewhere(seen, title)
    if not holders:
        return result("owner", title, "only root sees who holds it", unknown=True)
    process = next(iter(holders.values()))
    saw = ", ".join(_name(p) for p in holders.values())
    if process.serves_ollama:
        return result("owner", title, saw, pid=process.pid)
    if process.name.startswith("docker-proxy"):
        return result("owner", title, f"{saw}: the port of a container", pid=process.pid)
    if seen.greeting and "Ollama is running" in seen.greeting:
        return result("owner", title, f"{saw}, which answers as Ollama", pid=process.pid)
    if process.name.split(":")[0] in _PROXIES and seen.greeting is not None and " 401" in seen.greeting:
        return result("owner", title, f"{saw}, which asks for a token", pid=process.pid)
    return result(
        "owner",
        title,
        saw,
        Finding(
            "wrong-service-answers",
            "error",
            f"port {seen.port} is taken by {process.name}, not by Ollama",
            (
                saw,
                f"it answers: {seen.greeting.strip()[:80]!r}"
                if seen.greeting
                else "it answers nothing that HTTP knows",
            ),
            "stop it or move it, or give Ollama another port",
            (f"sudo ss -ltnp 'sport = :{seen.port}'",),
        ),
        pid=process.pid,
    )


def _elsewhere(seen: HostObserved, title: str) -> Result:
    """The result where nothing listens on the port: Ollama may listen on another, by its sockets or its OLLAMA_HOST."""
    taken = [held for held in seen.listeners if held.process and held.process.serves_ollama]
    ports = {held.socket.port for held in taken}
    evidence = [_where(held) for held in taken]
    process = seen.server
    if not ports and process is not None and process.environment is not None:
        told = process.environment.get("OLLAMA_HOST")
        ports = {parse_ollama_host(told).port} - {seen.port}
        evidence = [f"{_name(process)} has OLLAMA_HOST={told}"]
    if not ports:
        return Result("owner", title, "skipped", "nothing listens there")
    listed = ", ".join(map(str, sorted(ports)))
    return result(
        "owner",
        title,
        f"nothing listens on {seen.port}; Ollama listens on {listed}",
        Finding(
            "url-port-omitted-or-80",
            "error",
            f"Ollama listens on port {listed}, not on {seen.port}",
            tuple(evidence),
            "write the port into OLLAMA_HOST (a scheme alone means 80 or 443), or use that port in the URL",
            (
                f"sudo stackctl host-setup systemd --port {seen.port} --apply",
                f"stackctl host-check --port {min(ports)}",
            ),
        ),
    )


def _where(listener: HeldSocket) -> str:
    holder = f" ({listener.process.name}, pid {listener.process.pid})" if listener.process else ""
    return f"{host_port(listener.socket.address, listener.socket.port)}{holder}"


def address(seen: HostObserved, sources: Sequence[Network]) -> Result:
    """Whether the addresses that are listened on can be reached from outside this machine."""
    title = "The stack can reach the address"
    if not seen.on_port:
        return Result("address", title, "skipped", "nothing listens there")
    bound = [listener.socket.address for listener in seen.on_port]
    saw = "listens on " + ", ".join(_where(listener) for listener in seen.on_port)
    if all(is_loopback(a) for a in bound):
        return result("address", title, saw, _loopback(seen), addresses=bound)
    wild = [a for a in bound if is_wildcard(a)]
    if seen.v6_only and wild and all(":" in a for a in wild) and not any(":" not in a for a in bound):
        return result(
            "address",
            title,
            saw,
            Finding(
                "bindv6only",
                "error",
                "Ollama listens on IPv6 only",
                (saw, "net.ipv6.bindv6only = 1"),
                "listen on IPv4, or give IPv6 sockets both",
                ("sudo stackctl host-setup systemd --bind 0.0.0.0 --apply", "sudo sysctl -w net.ipv6.bindv6only=0"),
            ),
            addresses=bound,
        )
    if not wild:
        return result("address", title, saw, _one_address(seen, bound, sources), addresses=bound)
    return result("address", title, saw, addresses=bound)


def _loopback(seen: HostObserved) -> Finding:
    """The finding for an Ollama on loopback: right behind a proxy or a tunnel, wrong without."""
    proxies = [
        listener
        for listener in seen.listeners
        if listener.process
        and listener.process.name.split(":")[0] in _PROXIES
        and not is_loopback(listener.socket.address)
    ]
    evidence = [f"port {seen.port}: {_where(listener)}" for listener in seen.on_port]
    if proxies:
        return Finding(
            "host-ollama-loopback-only",
            "info",
            f"only this machine reaches Ollama itself; {proxies[0].process.name if proxies[0].process else 'a proxy'} "
            "listens for others",
            (*evidence, *(_where(proxy) for proxy in proxies)),
            "right, where that proxy passes to Ollama; consumers are to use its address",
        )
    return Finding(
        "host-ollama-loopback-only",
        "error",
        "Ollama listens on loopback only: no container and no other machine reaches it",
        tuple(evidence),
        "let it listen where the stack reaches it, the port limited to the stack; or put a proxy or a tunnel in front",
        ("sudo stackctl host-setup systemd --apply", f"sudo stackctl host-setup {subject_for(seen)} --apply"),
    )


def _one_address(seen: HostObserved, bound: Sequence[str], sources: Sequence[Network]) -> Finding:
    """The finding for an Ollama on single addresses: a warning where a source is in none of their networks."""
    devices = {a: device.name for device in seen.devices for a in (x.partition("/")[0] for x in device.addresses)}
    names = ", ".join(f"{a} ({devices.get(a, 'no device has it')})" for a in bound if not is_loopback(a))
    asked = [s for s in sources if not any(_same_net(seen, a, s) for a in bound)]
    return Finding(
        "bound-to-one-lan-ip",
        "warning" if asked else "info",
        f"Ollama answers on {names} only",
        tuple(_where(listener) for listener in seen.on_port),
        "use that address in the URL; host.docker.internal and localhost do not reach it unless they are that address",
        ("sudo stackctl host-setup systemd --bind 0.0.0.0 --apply",),
    )


def _same_net(seen: HostObserved, bound: str, source: Network) -> bool:
    for device in seen.devices:
        for text in device.addresses:
            interface = ipaddress.ip_interface(text)
            if (
                str(interface.ip) == bound
                and interface.version == source.version
                and interface.network.overlaps(source)
            ):
                return True
    return False
