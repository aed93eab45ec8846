"""Read ``iptables-save`` and follow a packet through INPUT (iptables-extensions(8))."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from stackctl.hostsetup.packets import Answer, Packet, Verdict, contains, settle

_TERMINAL: dict[str, Answer] = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject"}
_PASSING = frozenset({"LOG", "NFLOG", "MARK", "CONNMARK", "AUDIT", "TRACE", "SET", "CONNSECMARK", "NOTRACK"})
# Options that say nothing about whether the rule matches.
_SILENT = {"-m": 1, "--match": 1, "--comment": 1, "-c": 2}
_AFTER_TARGET = frozenset({"--reject-with", "--log-prefix", "--log-level", "--nflog-group", "--nflog-prefix"})


@dataclass
class Table:
    """The filter table: policy of each built-in chain, rules of every chain as words."""

    policies: dict[str, str] = field(default_factory=dict)
    chains: dict[str, list[list[str]]] = field(default_factory=dict)


def parse_save(text: str) -> Table:
    """The filter table of ``iptables-save`` output; other tables are left out."""
    table, inside = Table(), False
    for line in text.splitlines():
        if line.startswith("*"):
            inside = line.strip() == "*filter"
        elif inside and line.startswith(":"):
            name, policy = line[1:].split()[:2]
            table.chains[name] = []
            if policy != "-":
                table.policies[name] = policy
        elif inside and line.startswith("-A "):
            words = shlex.split(line)
            table.chains.setdefault(words[1], []).append(words[2:])
    return table


def judge(table: Table, packet: Packet) -> Verdict:
    """What INPUT does with the packet; ``unknown`` where a rule that may decide was not understood."""
    possible: list[Verdict] = []
    decided = _walk(table, "INPUT", packet, possible, depth=0)
    if decided is None:
        policy = table.policies.get("INPUT", "ACCEPT")
        decided = Verdict(_TERMINAL.get(policy, "unknown"), f"-P INPUT {policy}")
    return settle(decided, possible)


def _walk(table: Table, chain: str, packet: Packet, possible: list[Verdict], *, depth: int) -> Verdict | None:
    """The verdict of a chain, or None when the packet comes out at its end."""
    if depth > 32:
        return Verdict("unknown", f"chains deeper than 32 at {chain}")
    for words in table.chains.get(chain, []):
        matched, target = _match(words, packet)
        text = f"-A {chain} {shlex.join(words)}"
        if matched is False or target in _PASSING or not target:
            continue
        if target == "RETURN" or target in _TERMINAL:
            verdict = Verdict(_TERMINAL[target], text) if target in _TERMINAL else None
            if matched:
                return verdict
            possible.append(verdict or Verdict("unknown", text))
        elif target in table.chains:
            decided = _walk(table, target, packet, possible, depth=depth + 1)
            if matched and (decided is not None or "-g" in words or "--goto" in words):
                return decided
            if decided is not None:
                possible.append(decided)
        else:
            possible.append(Verdict("unknown", text))
    return None


def _match(words: Sequence[str], packet: Packet) -> tuple[bool | None, str]:
    """Whether the rule applies (None: not understood), and its target."""
    target, result = "", True
    unknown = False
    for negated, option, values in _options(words):
        if option in ("-j", "--jump", "-g", "--goto"):
            target = values[0] if values else ""
            continue
        one = _test(option, values, packet)
        if one is None:
            unknown = True
        elif one == negated:
            result = False
    return (False if not result else None if unknown else True), target


def _options(words: Sequence[str]) -> Iterator[tuple[bool, str, list[str]]]:
    """``(negated, option, values)``; options that do not test anything are left out."""
    index, negated = 0, False
    while index < len(words):
        word = words[index]
        index += 1
        if word == "!":
            negated = True
            continue
        if word in _SILENT:
            index += _SILENT[word]
            continue
        values = []
        while index < len(words) and not words[index].startswith("-") and words[index] != "!":
            values.append(words[index])
            index += 1
        if word not in _AFTER_TARGET:
            yield negated, word, values
        negated = False


def _test(option: str, values: list[str], packet: Packet) -> bool | None:
    """Whether one option of a rule holds for the packet; None where it was not understood."""
    if option in _TESTS:
        return _TESTS[option](values[0] if values else "", packet)
    if option == "--tcp-flags":
        return True if values[-1:] == ["SYN"] else None
    return False if option.startswith("--rt-") else None  # the first packet of a connection has no routing header


def _device(pattern: str, device: str) -> bool | None:
    if pattern == "lo":
        return device == "lo"
    if not device:
        return None
    return device.startswith(pattern[:-1]) if pattern.endswith("+") else device == pattern


def _ports(value: str, port: int) -> bool | None:
    for item in value.split(","):
        low, _, high = item.partition(":")
        if not low.isdigit() or (high and not high.isdigit()):
            return None
        if int(low) <= port <= int(high or low):
            return True
    return False


def _tests() -> Iterator[tuple[tuple[str, ...], Callable[[str, Packet], bool | None]]]:
    yield ("-p", "--protocol"), lambda value, _: value in ("tcp", "6", "all", "0")
    yield ("-s", "--source", "--src"), lambda value, packet: contains(value, packet.source)
    yield ("-d", "--destination", "--dst"), lambda value, packet: contains(value, packet.destination)
    yield ("-i", "--in-interface"), lambda value, packet: _device(value, packet.device)
    yield ("-o", "--out-interface"), lambda _value, _: False
    yield (
        ("--dport", "--dports", "--destination-port", "--destination-ports"),
        lambda value, packet: _ports(value, packet.port),
    )
    yield ("--ctstate", "--state"), lambda value, _: "NEW" in value.split(",")
    yield ("--dst-type",), lambda value, _: "LOCAL" in value.split(",")
    yield ("--syn",), lambda _value, _: True
    yield ("--pkt-type",), lambda value, _: value == "unicast"


_TESTS = {option: test for options, test in _tests() for option in options}
"""Options that compare one value with the packet."""
