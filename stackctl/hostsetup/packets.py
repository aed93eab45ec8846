"""Packets and verdicts, shared by the evaluation of iptables and nftables rules.

Matching has three values. A rule with a part that we do not understand may or
may not apply: the evaluation goes on, and its verdict is kept as possible.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Answer = Literal["accept", "drop", "reject", "unknown"]


@dataclass(frozen=True)
class Packet:
    """The first packet of a TCP connection. ``device`` is where it comes in; empty where that is not known."""

    source: str
    destination: str
    port: int
    device: str = ""

    @property
    def version(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.source).version


@dataclass(frozen=True)
class Verdict:
    """What becomes of a packet, and the rule that says so (empty for a chain's policy and for none)."""

    answer: Answer
    rule: str = ""


def settle(certain: Verdict, possible: Sequence[Verdict]) -> Verdict:
    """The certain verdict; ``unknown`` where a rule that was not understood might have given another one before it."""
    for other in possible:
        if other.answer != certain.answer:
            return Verdict("unknown", other.rule)
    return certain


def contains(network: str, address: str) -> bool | None:
    """Whether an address lies in a network written as rules write it; None where the text is no network."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return None
