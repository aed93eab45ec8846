"""Each rendered firewall, in force in a namespace: the stack gets in, nobody else does, and undoing opens it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.hostsetup import iptables, nftables
from stackctl.hostsetup.host_plan import HostPlan, collapse, parse_network
from stackctl.hostsetup.setup import Setup
from tests.host.lab import Lab, Machine, need, unit_values

OPEN = {"stack4": "open", "stack6": "open", "stranger4": "open", "stranger6": "open", "itself": "open"}
REFUSED = {**OPEN, "stranger4": "EHOSTUNREACH", "stranger6": "EACCES"}


def plan_for(lab: Lab, **more: object) -> HostPlan:
    allowed = collapse([parse_network(lab.stack_net), parse_network(lab.stack_net6)])
    return HostPlan("renfield", allowed=allowed, **more)  # type: ignore[arg-type]


def place(setup: Setup, tmp_path: Path) -> dict[str, Path]:
    """The files below a directory of the test's; path on the server to path here."""
    placed = {}
    for file in setup.files:
        path = tmp_path / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
        path.chmod(file.mode)
        placed[file.path] = path
    return placed


def play(machine: Machine, setup: Setup, placed: dict[str, Path], key: str) -> None:
    """Run what the set-up's unit runs, with the files where the test put them."""
    unit = next(f for f in setup.files if f.path.endswith(".service"))
    for command in unit_values(unit.text, key):
        machine.run(*(str(placed.get(word, word)) for word in command))


def test_iptables_lets_the_stack_in_and_nobody_else(lab: Lab, tmp_path: Path) -> None:
    need("iptables", "ip6tables", "iptables-restore")
    lab.server.listen(11434)
    lab.server.listen(8080)
    assert lab.verdicts() == OPEN
    setup = iptables.render(plan_for(lab))
    placed = place(setup, tmp_path)
    play(lab.server, setup, placed, "ExecStart")
    assert lab.verdicts() == REFUSED
    assert lab.verdicts(8080) == OPEN
    once = lab.server.run("iptables", "-S").stdout
    play(lab.server, setup, placed, "ExecStart")
    assert lab.server.run("iptables", "-S").stdout == once
    play(lab.server, setup, placed, "ExecStop")
    assert lab.verdicts() == OPEN
    assert "stackctl" not in lab.server.run("iptables", "-S").stdout + lab.server.run("ip6tables", "-S").stdout
    play(lab.server, setup, placed, "ExecStop")


def test_iptables_opens_a_machine_that_drops_by_default(lab: Lab, tmp_path: Path) -> None:
    need("iptables", "ip6tables", "iptables-restore")
    lab.server.listen(11434)
    for program in ("iptables", "ip6tables"):
        lab.server.run(program, "-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
        lab.server.run(program, "-A", "INPUT", "-p", "ipv6-icmp" if program == "ip6tables" else "icmp", "-j", "ACCEPT")
        lab.server.run(program, "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
        lab.server.run(program, "-P", "INPUT", "DROP")
    assert lab.verdicts() == {**dict.fromkeys(OPEN, "timeout"), "itself": "open"}
    setup = iptables.render(plan_for(lab, exclusive=False))
    play(lab.server, setup, place(setup, tmp_path), "ExecStart")
    assert lab.verdicts() == {**OPEN, "stranger4": "timeout", "stranger6": "timeout"}


def test_nftables_lets_the_stack_in_and_nobody_else(lab: Lab, tmp_path: Path) -> None:
    need("nft")
    lab.server.listen(11434)
    lab.server.listen(8080)
    setup = nftables.render(plan_for(lab))
    placed = place(setup, tmp_path)
    rules = placed["/etc/stackctl/nftables-renfield.nft"]
    lab.server.run("nft", "--check", "--file", str(rules))
    assert lab.server.run("nft", "list", "ruleset").stdout == ""
    play(lab.server, setup, placed, "ExecStart")
    assert lab.verdicts() == REFUSED
    assert lab.verdicts(8080) == OPEN
    once = lab.server.run("nft", "--stateless", "list", "ruleset").stdout
    play(lab.server, setup, placed, "ExecStart")
    assert lab.server.run("nft", "--stateless", "list", "ruleset").stdout == once
    play(lab.server, setup, placed, "ExecStop")
    assert lab.verdicts() == OPEN
    assert lab.server.run("nft", "list", "ruleset").stdout == ""


@pytest.mark.parametrize("exclusive", [True, False])
def test_nftables_opens_a_chain_that_drops_by_default(lab: Lab, tmp_path: Path, exclusive: bool) -> None:
    need("nft")
    lab.server.listen(11434)
    own = tmp_path / "own.nft"
    own.write_text(
        "table inet filter {\n chain input {\n type filter hook input priority filter; policy drop;\n"
        ' ct state established,related accept\n iif "lo" accept\n meta l4proto { icmp, icmpv6 } accept\n }\n}\n'
    )
    lab.server.run("nft", "--file", str(own))
    before = lab.server.run("nft", "--stateless", "list", "ruleset").stdout
    assert lab.stack.connects(lab.by_stack[0], 11434) == "timeout"
    setup = nftables.render(plan_for(lab, nft_chain=("inet", "filter", "input"), exclusive=exclusive))
    placed = place(setup, tmp_path)
    play(lab.server, setup, placed, "ExecStart")
    play(lab.server, setup, placed, "ExecStart")
    shut = (
        {"stranger4": "EHOSTUNREACH", "stranger6": "EACCES"}
        if exclusive
        else dict.fromkeys(("stranger4", "stranger6"), "timeout")
    )
    assert lab.verdicts() == {**OPEN, **shut}
    assert lab.server.run("nft", "list", "chain", "inet", "filter", "input").stdout.count("stackctl-renfield") == 2
    play(lab.server, setup, placed, "ExecStop")
    assert lab.server.run("nft", "--stateless", "list", "ruleset").stdout == before
