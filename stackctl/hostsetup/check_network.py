"""Whether this machine's own firewall lets connections to the port in, and from where."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import partial

from stackctl.hostsetup.findings import Finding, Result, Severity, result
from stackctl.hostsetup.firewall import Tried, connected, named_sources, subject_for, try_source
from stackctl.hostsetup.host_plan import Network
from stackctl.hostsetup.observed import HostObserved
from stackctl.sockets import is_loopback

TITLE = "The firewall lets the stack in, and it alone"
STRANGER = ipaddress.ip_network("203.0.113.77")
"""An address that is in use nowhere (RFC 5737), to see what becomes of everybody else."""


def firewall(seen: HostObserved, sources: Sequence[Network]) -> Result:
    """Follow a first packet from each source through the rules."""
    names = _active(seen)
    if not seen.on_port:
        return Result("firewall", TITLE, "skipped", "nothing listens there", observed={"firewalls": names})
    if all(is_loopback(listener.socket.address) for listener in seen.on_port):
        return Result("firewall", TITLE, "skipped", "the address is loopback", observed={"firewalls": names})
    if seen.firewall.iptables is None and seen.firewall.nft is None:
        why = "only root sees the rules" if not seen.root else "neither iptables nor nft is installed"
        return result("firewall", TITLE, why, unknown=True, firewalls=names)
    wanted = list(sources) or connected(seen.devices)
    tried = [try_source(seen, source) for source in wanted]
    if seen.firewall.firewalld_running and seen.firewall.nft is None:
        return result("firewall", TITLE, "firewalld's rules cannot be read without nft", unknown=True, firewalls=names)
    stranger = try_source(seen, STRANGER)
    ways = {t.source: f" by {t.device}" if t.device else "" for t in tried}
    saw = "; ".join(f"{t.source}{ways[t.source]}: {t.verdict.answer}" for t in tried)
    prefix = f"{', '.join(names)}: " if names else ""
    observed = {
        "firewalls": names,
        "sources": [_told(t) for t in tried],
        "anybody": stranger.verdict.answer,
    }
    admitted = [] if sources else [t for t in map(partial(try_source, seen), named_sources(seen)) if _passes(t)]
    observed["admitted"] = [str(t.source) for t in admitted]
    findings = _findings(seen, tried, stranger, asked=bool(sources), admitted=bool(admitted))
    unknown = any(t.verdict.answer == "unknown" for t in tried)
    if admitted and not any(map(_passes, tried)):
        saw = f"in for {', '.join(str(t.source) for t in admitted)}; {saw}"
    saw = prefix + (saw or "no network to come from")
    return result("firewall", TITLE, saw, *findings, unknown=unknown, **observed)


def _told(tried: Tried) -> dict[str, str]:
    verdict = tried.verdict
    return {"source": str(tried.source), "device": tried.device, "answer": verdict.answer, "rule": verdict.rule}


def _active(seen: HostObserved) -> list[str]:
    named = {"ufw": seen.firewall.ufw_enabled, "firewalld": seen.firewall.firewalld_running}
    return [name for name, on in named.items() if on]


def _passes(tried: Tried) -> bool:
    return tried.verdict.answer == "accept"


def _findings(
    seen: HostObserved, tried: Sequence[Tried], stranger: Tried, *, asked: bool, admitted: bool
) -> list[Finding]:
    """The findings; ``asked`` tells whether the user named the sources.

    Where not, and the rules admit some that they name themselves (``admitted``), blocking others is on purpose.
    """
    found = []
    blocked = [t for t in tried if t.verdict.answer in ("drop", "reject")]
    through = [t for t in tried if _passes(t)]
    for one in [] if admitted and not asked else blocked:
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
    return (f"sudo stackctl host-setup {subject_for(seen)} --from {source} --port {seen.port} --apply",)
