"""Whether this machine's own firewall lets connections to the port in, and from where."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from stackctl.hostsetup import iptables_rules, nft_rules
from stackctl.hostsetup.findings import Finding, Result, Severity, result
from stackctl.hostsetup.observed import Device, HostObserved
from stackctl.hostsetup.packets import Packet, Verdict, settle
from stackctl.hostsetup.plan import Network
from stackctl.hostsetup.sockets import is_loopback, is_wildcard

TITLE = "The firewall lets the stack in"
# RFC 5737 and RFC 3849: addresses that are nobody's, for "anybody else".
STRANGERS = {4: "203.0.113.77", 6: "2001:db8::77"}


@dataclass(frozen=True)
class Tried:
    """A source and what the rules do with it. ``bridge`` says that it is a network of containers on this machine."""

    source: Network
    device: str
    verdict: Verdict

    @property
    def bridge(self) -> bool:
        """Whether the device is one that the Docker engine makes."""
        return self.device.startswith(("docker", "br-"))


def firewall(seen: HostObserved, sources: Sequence[Network]) -> Result:
    """Follow a first packet from each source through the rules."""
    names = _active(seen)
    if not seen.on_port:
        return Result("firewall", TITLE, "skipped", "nothing listens there", observed={"firewalls": names})
    if all(is_loopback(listener.socket.address) for listener in seen.on_port):
        return Result("firewall", TITLE, "skipped", "the address is loopback", observed={"firewalls": names})
    if seen.firewall.iptables is None and seen.firewall.nft is None:
        why = "only root sees the rules" if not seen.root else "neither iptables nor nft is installed"
        return result("firewall", TITLE, why, unknown=not seen.root, firewalls=names)
    wanted = list(sources) or _connected(seen.devices)
    tried = [try_source(seen, source) for source in wanted]
    if seen.firewall.firewalld_running and seen.firewall.nft is None:
        return result("firewall", TITLE, "firewalld's rules cannot be read without nft", unknown=True, firewalls=names)
    stranger = try_source(seen, ipaddress.ip_network(STRANGERS[4]))
    ways = {t.source: f" by {t.device}" if t.device else "" for t in tried}
    saw = "; ".join(f"{t.source}{ways[t.source]}: {t.verdict.answer}" for t in tried)
    prefix = f"{', '.join(names)}: " if names else ""
    observed = {
        "firewalls": names,
        "sources": [_told(t) for t in tried],
        "anybody": stranger.verdict.answer,
    }
    findings = _findings(seen, tried, stranger, asked=bool(sources))
    unknown = any(t.verdict.answer == "unknown" for t in tried)
    saw = prefix + (saw or "no network to come from")
    return result("firewall", TITLE, saw, *findings, unknown=unknown, **observed)


def _told(tried: Tried) -> dict[str, str]:
    verdict = tried.verdict
    return {"source": str(tried.source), "device": tried.device, "answer": verdict.answer, "rule": verdict.rule}


def _active(seen: HostObserved) -> list[str]:
    named = {"ufw": seen.firewall.ufw_enabled, "firewalld": seen.firewall.firewalld_running}
    return [name for name, on in named.items() if on]


def _connected(devices: Sequence[Device]) -> list[Network]:
    """Networks that the machine is in, loopback and link-local ones left out."""
    found: dict[Network, None] = {}
    for device in devices:
        for text in device.addresses:
            interface = ipaddress.ip_interface(text)
            if not (interface.is_loopback or interface.is_link_local) and interface.network.num_addresses > 1:
                found[interface.network] = None
    return list(found)


def try_source(seen: HostObserved, source: Network) -> Tried:
    """What becomes of a first packet from ``source``, by the device that leads there."""
    device, own = _way(seen.devices, source)
    destination = _destination(seen, source.version, own)
    packet = Packet(_representative(source, own), destination, seen.port, device)
    return Tried(source, device, judge(seen, packet))


def judge(seen: HostObserved, packet: Packet) -> Verdict:
    """Both rule languages together: a packet must get past each."""
    text = seen.firewall.iptables if packet.version == 4 else seen.firewall.ip6tables
    by_iptables = iptables_rules.judge(iptables_rules.parse_save(text), packet) if text else Verdict("accept")
    rules = nft_rules.parse_ruleset(seen.firewall.nft or "{}")
    by_nft = nft_rules.judge(rules, packet)
    for verdict in (by_iptables, by_nft):
        if verdict.answer in ("drop", "reject"):
            return verdict
    return settle(by_nft, [by_iptables]) if by_iptables.answer == "unknown" else by_nft if by_nft.rule else by_iptables


def _way(devices: Sequence[Device], source: Network) -> tuple[str, str]:
    """The device whose network overlaps the source, and the machine's own address there."""
    for device in devices:
        for text in device.addresses:
            interface = ipaddress.ip_interface(text)
            if interface.version == source.version and interface.network.overlaps(source):
                return device.name, str(interface.ip)
    return "", ""


def _representative(source: Network, own: str) -> str:
    """An address of the source that is not the machine's own."""
    if source.num_addresses == 1:
        return str(source.network_address)
    for offset in (2, 3, 1):
        candidate = source.network_address + offset if offset < source.num_addresses else source.network_address
        if str(candidate) != own:
            return str(candidate)
    return str(source.network_address)


def _destination(seen: HostObserved, version: int, own: str) -> str:
    for listener in seen.on_port:
        bound = listener.socket.address
        if not is_wildcard(bound) and ipaddress.ip_address(bound).version == version and not is_loopback(bound):
            return bound
    if own:
        return own
    for device in seen.devices:
        for text in device.addresses:
            interface = ipaddress.ip_interface(text)
            if interface.version == version and not interface.is_loopback:
                return str(interface.ip)
    return "127.0.0.1" if version == 4 else "::1"


def _findings(seen: HostObserved, tried: Sequence[Tried], stranger: Tried, *, asked: bool) -> list[Finding]:
    found = []
    blocked = [t for t in tried if t.verdict.answer in ("drop", "reject")]
    through = [t for t in tried if t.verdict.answer == "accept"]
    for one in blocked:
        severity: Severity = "error" if asked or not through else "warning"
        found.append(
            Finding(
                _cause(one, through),
                severity,
                f"the firewall {'drops' if one.verdict.answer == 'drop' else 'rejects'} connections from {one.source}",
                (f"port {seen.port}/tcp by {one.device or 'any device'}: {one.verdict.rule or 'the policy'}",),
                "let the stack's own addresses in, and nobody else",
                _commands(seen, one.source),
            )
        )
    guarded = any(p.container == "" for p in seen.servers)
    if guarded and stranger.verdict.answer == "accept" and through:
        found.append(
            Finding(
                "port-open-to-everybody",
                "warning",
                f"port {seen.port} is open to everybody who can reach this machine, and Ollama asks for no password",
                ("no rule tells the stack's addresses from others",),
                "limit the port to the stack",
                _commands(seen, through[0].source),
            )
        )
    return found


def _cause(one: Tried, through: Sequence[Tried]) -> str:
    if one.bridge and any(t.device == "docker0" for t in through):
        return "firewall-allows-docker0-only"
    if one.verdict.answer == "reject":
        return "firewall-rejects-ehostunreach"
    return "host-firewall-drops-bridge" if one.bridge else "lan-server-firewall"


def _commands(seen: HostObserved, source: Network) -> tuple[str, ...]:
    subject = (
        "ufw"
        if seen.firewall.ufw_enabled
        else "firewalld"
        if seen.firewall.firewalld_running
        else "nftables"
        if nft_rules.parse_ruleset(seen.firewall.nft or "{}").inputs
        else "iptables"
    )
    return (f"stackctl host-setup {subject} --from {source} --port {seen.port} --apply",)
