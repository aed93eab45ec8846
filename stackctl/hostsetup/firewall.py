"""Which sources reach the port, by the firewall rules in force on this machine."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from stackctl.hostsetup import iptables_rules, nft_rules
from stackctl.hostsetup.host_plan import Network
from stackctl.hostsetup.observed import Device, HostObserved
from stackctl.hostsetup.packets import Packet, Verdict, settle
from stackctl.sockets import is_loopback, is_wildcard

_ADDRESS = re.compile(
    r"(?<![\w.:])((?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]{0,4}:[0-9a-fA-F:]*:[0-9a-fA-F:]*)(?:/(\d{1,3})\b)?"
)


@dataclass(frozen=True)
class Tried:
    """A source, the device its packets come in by, and what the rules do with them."""

    source: Network
    device: str
    verdict: Verdict

    @property
    def bridge(self) -> bool:
        """Whether the device is a bridge of the Docker engine, so that the source is containers of this machine."""
        return self.device.startswith(("docker", "br-"))


def connected(devices: Sequence[Device]) -> list[Network]:
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
    """The verdict of iptables and nftables together: a packet must pass both."""
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


def named_sources(seen: HostObserved) -> list[Network]:
    """Networks and addresses that the rules name: somebody meant to admit them, or to keep them out. At most 64."""
    rules = nft_rules.parse_ruleset(seen.firewall.nft or "{}")
    texts = [seen.firewall.iptables or "", seen.firewall.ip6tables or "", *rules.addresses()]
    found: dict[Network, None] = {}
    for address, length in (match.groups() for text in texts for match in _ADDRESS.finditer(text)):
        try:
            network = ipaddress.ip_network(f"{address}/{length}" if length else address, strict=False)
        except ValueError:
            continue
        if network.prefixlen and not (network.is_loopback or network.is_link_local or network.is_multicast):
            found[network] = None
    return list(found)[:64]


def subject_for(seen: HostObserved) -> str:
    """The set-up for the firewall that this machine uses."""
    if seen.firewall.ufw_enabled:
        return "ufw"
    if seen.firewall.firewalld_running:
        return "firewalld"
    if nft_rules.parse_ruleset(seen.firewall.nft or "{}").inputs:
        return "nftables"
    table = iptables_rules.parse_save(seen.firewall.iptables or "")
    return "nftables" if seen.firewall.nft is not None and not table.chains.get("INPUT") else "iptables"


def chain_that_blocks(verdict: Verdict) -> str:
    """``FAMILY TABLE CHAIN`` of an nftables chain that drops by its policy, or empty."""
    match = re.match(r"(?:inet|ip6?) \S+ \S+(?=: policy (?:drop|reject)$)", verdict.rule)
    return match[0] if match else ""
