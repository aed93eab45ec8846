"""Read ``nft --json list ruleset`` and follow a packet through the input hook (libnftables-json(5))."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackctl.hostsetup.packets import Answer, Packet, Verdict, contains, settle

_VERDICTS: dict[str, Answer] = {"accept": "accept", "drop": "drop", "reject": "reject"}
_NO_ELEMENT = "no element"
"""A verdict map has no element for the packet."""
_UNCERTAIN_ELEMENT = "unknown element"
"""It cannot be told which element of a verdict map applies to the packet."""
_ENDS = frozenset({*_VERDICTS, "return", _NO_ELEMENT, _UNCERTAIN_ELEMENT})
_PASSING = frozenset({"counter", "log", "comment", "mangle", "notrack", "meter", "set", "quota", "ct helper"})


@dataclass
class Ruleset:
    """Base chains at the input hook by priority; rules and sets by where they stand."""

    inputs: list[Mapping[str, Any]] = field(default_factory=list)
    rules: dict[tuple[str, str, str], list[Mapping[str, Any]]] = field(default_factory=dict)
    sets: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    def addresses(self) -> list[str]:
        """Texts of every value that rules compare with and sets hold, networks as ``ADDRESS/LENGTH``."""
        matches = [
            statement["match"]["right"]
            for rules in self.rules.values()
            for rule in rules
            for statement in rule.get("expr", [])
            if "match" in statement
        ]
        return [_show(value) for value in (*matches, *self.sets.values())]


def parse_ruleset(text: str) -> Ruleset:
    """The ruleset; chains that iptables made are left out (:mod:`iptables_rules` reads those)."""
    found = Ruleset()
    try:
        entries = json.loads(text).get("nftables", [])
    except (ValueError, AttributeError):
        return found
    for entry in entries:
        if chain := entry.get("chain"):
            mine = chain.get("family") in ("ip", "ip6", "inet")
            if mine and chain.get("hook") == "input" and not _of_iptables(chain):
                found.inputs.append(chain)
        elif rule := entry.get("rule"):
            found.rules.setdefault((rule["family"], rule["table"], rule["chain"]), []).append(rule)
        elif named := entry.get("set") or entry.get("map"):
            found.sets[named["family"], named["table"], named["name"]] = named.get("elem", [])
    found.inputs.sort(key=lambda chain: chain.get("prio", 0))
    return found


def _of_iptables(chain: Mapping[str, Any]) -> bool:
    names = ("filter", "mangle", "nat", "raw", "security")
    return chain.get("family") != "inet" and chain.get("table") in names and chain.get("name") == "INPUT"


def judge(ruleset: Ruleset, packet: Packet) -> Verdict:
    """What all base chains together do: each may drop, and only all of them accept."""
    possible: list[Verdict] = []
    last = Verdict("accept")
    for chain in ruleset.inputs:
        if {"ip": 4, "ip6": 6}.get(chain["family"], packet.version) != packet.version:
            continue
        inner: list[Verdict] = []
        key = (chain["family"], chain["table"], chain["name"])
        decided = _walk(ruleset, key, packet, inner, depth=0)
        if decided is None:
            policy = chain.get("policy", "accept")
            decided = Verdict(_VERDICTS.get(policy, "unknown"), f"{' '.join(key)}: policy {policy}")
        decided = settle(decided, inner)
        if decided.answer in ("drop", "reject"):
            return settle(decided, possible)
        if decided.answer == "unknown":
            possible.append(decided)
        else:
            last = decided
    return settle(last, possible)


def _walk(
    ruleset: Ruleset, key: tuple[str, str, str], packet: Packet, possible: list[Verdict], *, depth: int
) -> Verdict | None:
    """The verdict of a chain, or None when the packet comes out at its end; what might decide goes to ``possible``."""
    if depth > 32:
        return Verdict("unknown", f"chains deeper than 32 at {' '.join(key)}")
    for rule in ruleset.rules.get(key, []):
        leaves, verdict = _follow(ruleset, key, rule, packet, possible, depth=depth)
        if leaves:
            return verdict
    return None


def _follow(
    ruleset: Ruleset,
    key: tuple[str, str, str],
    rule: Mapping[str, Any],
    packet: Packet,
    possible: list[Verdict],
    *,
    depth: int,
) -> tuple[bool, Verdict | None]:
    """Whether the packet leaves the chain by this rule, and with what verdict (None: it returns)."""
    sure, text = True, _text(key, rule)
    for name, body in _statements(ruleset, key, rule, packet):
        if name == "match":
            matched = _match(ruleset, key, body, packet)
            if matched is False:
                return False, None
            sure = sure and matched is True
        elif name in _ENDS:
            return _end(name, text, possible, sure=sure)
        elif name in ("jump", "goto"):
            decided = _walk(ruleset, (key[0], key[1], body["target"]), packet, possible, depth=depth + 1)
            if sure and (decided is not None or name == "goto"):
                return True, decided
            if decided is not None:
                possible.append(decided)
        elif name not in _PASSING:
            sure = False  # limit, xt and whatever else may keep the rule from applying
    return False, None


def _statements(
    ruleset: Ruleset, key: tuple[str, str, str], rule: Mapping[str, Any], packet: Packet
) -> Iterator[tuple[str, Any]]:
    """The rule's statements in order, each verdict map replaced by what it names for the packet."""
    for statement in rule.get("expr", []):
        name, body = next(iter(statement.items()))
        yield _look_up(ruleset, key, body, packet) if name == "vmap" else (name, body)


def _end(name: str, text: str, possible: list[Verdict], *, sure: bool) -> tuple[bool, Verdict | None]:
    """What a statement that ends its rule does: whether the packet leaves the chain, and with what verdict."""
    if name == _NO_ELEMENT:
        return False, None
    verdict = None if name == "return" else Verdict(_VERDICTS.get(name, "unknown"), text)
    if sure and name != _UNCERTAIN_ELEMENT:
        return True, verdict
    possible.append(verdict or Verdict("unknown", text))
    return False, None


def _text(key: tuple[str, str, str], rule: Mapping[str, Any]) -> str:
    comment = f' comment "{rule["comment"]}"' if rule.get("comment") else ""
    words = []
    for statement in rule.get("expr", []):
        name, body = next(iter(statement.items()))
        if name == "match":
            words.append(f"{_show(body['left'])} {body['op']} {_show(body['right'])}")
        elif name in ("jump", "goto"):
            words.append(f"{name} {body['target']}")
        elif name != "counter":
            words.append(name)
    return f"{' '.join(key)}: {', '.join(words)}{comment}"


def _show(value: Any) -> str:
    if isinstance(value, dict):
        name, body = next(iter(value.items()))
        if name == "payload":
            return f"{body.get('protocol')} {body.get('field')}"
        if name in ("meta", "ct"):
            return f"{name} {body.get('key')}"
        if name == "prefix":
            return f"{body['addr']}/{body['len']}"
        if name == "range":
            return "-".join(str(v) for v in body)
        if name == "elem":
            return _show(body.get("val"))
        if name == "set":
            return "{" + ", ".join(_show(v) for v in body) + "}"
        return str(name)
    return ", ".join(_show(v) for v in value) if isinstance(value, list) else str(value)


def _match(ruleset: Ruleset, key: tuple[str, str, str], body: Mapping[str, Any], packet: Packet) -> bool | None:
    left = _value(body["left"], packet)
    if left is None:
        return None
    if left is False:  # the field is not in this packet at all
        return False
    held = _holds(ruleset, key, body["right"], left)
    if held is None:
        return None
    operator = body.get("op", "==")
    if operator in ("==", "in"):
        return held
    return not held if operator == "!=" else None


def _value(left: Any, packet: Packet) -> Any:
    """The packet's value for an expression; False where it has none, None where it cannot be told."""
    if not isinstance(left, dict):
        return None
    name, body = next(iter(left.items()))
    if name == "payload":
        protocol, what = body.get("protocol"), body.get("field")
        if protocol in ("ip", "ip6"):
            if packet.version != {"ip": 4, "ip6": 6}[protocol]:
                return False
            return {"saddr": packet.source, "daddr": packet.destination, "protocol": "tcp", "nexthdr": "tcp"}.get(what)
        if protocol in ("tcp", "th"):
            return packet.port if what == "dport" else None
        return False
    if name == "meta":
        values = {
            "l4proto": "tcp",
            "nfproto": f"ipv{packet.version}",
            "pkttype": "host",
            "protocol": "ip" if packet.version == 4 else "ip6",
        }
        if body.get("key") in ("iifname", "iif"):
            return packet.device or None
        return values.get(body.get("key"))
    if name == "ct":
        return {"state": "new", "status": ""}.get(body.get("key"))
    if name == "fib" and body.get("result") == "type":
        return "local"
    return None


def _holds(ruleset: Ruleset, key: tuple[str, str, str], right: Any, value: Any) -> bool | None:
    """Whether ``value`` equals ``right`` or is in it; None where that cannot be told."""
    if isinstance(right, dict):
        name, body = next(iter(right.items()))
        if name == "set":
            return _any(ruleset, key, body, value)
        if name == "prefix":
            return contains(f"{body['addr']}/{body['len']}", str(value))
        if name == "range":
            return _between(body, value)
        if name == "elem":
            return _holds(ruleset, key, body.get("val"), value)
        return None
    if isinstance(right, list):
        return _any(ruleset, key, right, value)
    if isinstance(right, str) and right.startswith("@"):
        elements = ruleset.sets.get((key[0], key[1], right[1:]))
        return None if elements is None else _any(ruleset, key, elements, value)
    if isinstance(right, str) and right.endswith("*"):
        return str(value).startswith(right[:-1])
    return str(value) == str(right)


def _any(ruleset: Ruleset, key: tuple[str, str, str], items: Sequence[Any], value: Any) -> bool | None:
    answers = [_holds(ruleset, key, item, value) for item in items]
    return True if True in answers else None if None in answers else False


def _between(bounds: Sequence[Any], value: Any) -> bool | None:
    try:
        if isinstance(value, int):
            return int(bounds[0]) <= value <= int(bounds[1])
        low, high, mine = (ipaddress.ip_address(str(v)) for v in (bounds[0], bounds[1], value))
    except ValueError:
        return None
    return low.version == mine.version and int(low) <= int(mine) <= int(high)


def _look_up(ruleset: Ruleset, key: tuple[str, str, str], body: Mapping[str, Any], packet: Packet) -> tuple[str, Any]:
    """The statement that a verdict map names for the packet."""
    value = _value(body.get("key"), packet)
    data = body.get("data")
    if isinstance(data, str) and data.startswith("@"):
        data = {"set": ruleset.sets.get((key[0], key[1], data[1:]), [])}
    if value is None or not isinstance(data, dict) or "set" not in data:
        return _UNCERTAIN_ELEMENT, None
    for item in data["set"]:
        if isinstance(item, list) and len(item) == 2 and _holds(ruleset, key, item[0], value):
            name, inner = next(iter(item[1].items()))
            return name, inner
    return _NO_ELEMENT, None
