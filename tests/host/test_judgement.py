"""What host-check says of a firewall is what the kernel does: both are asked, for many rulesets."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.host.lab import Lab, Machine, need
from tests.host.machines import ROOT
from tests.host.test_managed_firewalls import with_firewalld, with_ufw

MEANS = {"open": "accept", "timeout": "drop", "EHOSTUNREACH": "reject", "EACCES": "reject", "ECONNREFUSED": "reject"}

BASE4 = "*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{chains}{rules}COMMIT\n"
IPTABLES: dict[str, tuple[str, str, list[str]]] = {
    "nothing": ("ACCEPT", "", []),
    "policy": ("DROP", "", ["-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", "-i lo -j ACCEPT"]),
    "by device": ("ACCEPT", "", ["-i s1+ -p tcp --dport 11434 -j ACCEPT", "-p tcp --dport 11434 -j DROP"]),
    "by subnet": (
        "DROP",
        "",
        [
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-s 10.203.1.0/24 -p tcp -m tcp --dport 11434 -j ACCEPT",
        ],
    ),
    "not this subnet": ("ACCEPT", "", ["! -s 10.203.1.0/24 -p tcp --dport 11434 -j REJECT"]),
    "several ports": ("ACCEPT", "", ["-s 10.203.2.0/24 -p tcp -m multiport --dports 80,11400:11500 -j DROP"]),
    "another port": ("ACCEPT", "", ["-p tcp --dport 11435 -j DROP", "-p udp --dport 11434 -j DROP"]),
    "reset": ("ACCEPT", "", ["-p tcp --dport 11434 -j REJECT --reject-with tcp-reset"]),
    "a chain that returns": (
        "ACCEPT",
        ":OLLAMA - [0:0]\n",
        ["-p tcp --dport 11434 -j OLLAMA", "-A OLLAMA -s 10.203.1.0/24 -j RETURN", "-A OLLAMA -j DROP"],
    ),
    "a chain gone to": (
        "DROP",
        ":OLLAMA - [0:0]\n",
        [
            "-m conntrack --ctstate ESTABLISHED -j ACCEPT",
            "-s 10.203.1.0/24 -g OLLAMA",
            "-j ACCEPT",
            "-A OLLAMA -p tcp --dport 80 -j ACCEPT",
        ],
    ),
    "logged first": ("ACCEPT", "", ['-p tcp --dport 11434 -j LOG --log-prefix "a b "', "-s 10.203.2.2 -j DROP"]),
    "to an address": ("ACCEPT", "", ["-d 10.203.2.1/32 -p tcp --dport 11434 -j DROP"]),
    "local only": ("ACCEPT", "", ["-m addrtype --dst-type LOCAL -p tcp --dport 11434 -j DROP"]),
}

NFT = {
    "sets and ranges": """
table inet f {
  set inside {
    type ipv4_addr
    flags interval
    elements = { 10.203.1.0/24, 192.0.2.1-192.0.2.9 }
  }
  chain in {
    type filter hook input priority 0; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iif lo accept
    meta l4proto ipv6-icmp accept
    ip saddr @inside tcp dport { 80, 11000-12000 } counter accept
    ip6 saddr fd5c:1::/64 tcp dport 11434 accept
  }
}
""",
    "a map of devices": """
table inet f {
  chain inside {
    tcp dport 11434 accept
  }
  chain outside {
    tcp dport 11434 reject with icmpx type admin-prohibited
  }
  chain in {
    type filter hook input priority 0; policy accept;
    ct state established,related accept
    iifname vmap { "DEVICE1" : jump inside, "DEVICE2" : goto outside, "lo" : accept }
  }
}
""",
    "one table accepts and the next drops": """
table inet one {
  chain in {
    type filter hook input priority -10; policy accept;
    tcp dport 11434 accept
  }
}
table inet two {
  chain in {
    type filter hook input priority 10; policy accept;
    meta l4proto ipv6-icmp accept
    ct state established accept
    ip saddr != 10.203.1.2 tcp dport 11434 drop
    ip6 nexthdr tcp tcp dport != 80 ct state new ip6 saddr fd5c:2::2 drop
  }
}
""",
    "by wildcard device and family": """
table ip f {
  chain in {
    type filter hook input priority 0; policy accept;
    iifname "s1*" tcp dport 11434 drop
  }
}
table ip6 f {
  chain in {
    type filter hook input priority 0; policy accept;
    iifname "s2*" tcp dport 11434 reject
  }
}
""",
    "returns": """
table inet f {
  chain ours {
    ip saddr 10.203.1.0/24 return
    ip6 saddr fd5c:1::/64 return
    drop
  }
  chain in {
    type filter hook input priority 0; policy accept;
    meta l4proto ipv6-icmp accept
    ct state established accept
    meta l4proto tcp th dport 11434 jump ours
    accept
  }
}
""",
}


def judged(machine: Machine, *sources: str) -> dict[str, Any]:
    """``host-check`` run inside the namespace."""
    argv = [sys.executable, "-m", "stackctl", "-C", "/", "host-check", "--json"]
    for source in sources:
        argv += ["--from", source]
    done = machine.run(*argv, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    found: dict[str, Any] = next(c for c in document["checks"] if c["id"] == "firewall")["observed"]
    return found


def agree(lab: Lab) -> None:
    """Both opinions, for the four ways in."""
    sources = {"stack4": "10.203.1.2", "stack6": "fd5c:1::2", "stranger4": "10.203.2.2", "stranger6": "fd5c:2::2"}
    real = lab.verdicts()
    said = {s["source"].partition("/")[0]: s["answer"] for s in judged(lab.server, *sources.values())["sources"]}
    assert {who: said[address] for who, address in sources.items()} == {who: MEANS[real[who]] for who in sources}


@pytest.mark.parametrize("name", IPTABLES)
def test_iptables(lab: Lab, name: str) -> None:
    need("iptables-restore", "ip6tables-restore")
    lab.server.listen(11434)
    policy, chains, rules = IPTABLES[name]
    lines = "".join(f"{r}\n" if r.startswith("-A") else f"-A INPUT {r}\n" for r in rules)
    lab.server.run("iptables-restore", input=BASE4.format(policy=policy, chains=chains, rules=lines))
    agree(lab)


@pytest.mark.parametrize("name", NFT)
def test_nftables(lab: Lab, tmp_path: Path, name: str) -> None:
    need("nft")
    lab.server.listen(11434)
    tag = lab.server.name.rsplit("-", 1)[-1]
    rules = tmp_path / "rules.nft"
    rules.write_text(NFT[name].replace("DEVICE1", f"s1{tag}").replace("DEVICE2", f"s2{tag}"))
    lab.server.run("nft", "--file", str(rules))
    agree(lab)


def test_ufw(lab: Lab, tmp_path: Path) -> None:
    with_ufw(lab, tmp_path)
    lab.server.listen(11434)
    agree(lab)
    lab.server.run("ufw", "allow", "from", "10.203.1.0/24", "to", "any", "port", "11434", "proto", "tcp")
    lab.server.run("ufw", "reject", "from", "fd5c:2::/64", "to", "any", "port", "11434", "proto", "tcp")
    agree(lab)
    assert judged(lab.server)["firewalls"] == ["ufw"]


def test_firewalld(lab: Lab, tmp_path: Path) -> None:
    with_firewalld(lab, tmp_path)
    lab.server.listen(11434)
    agree(lab)
    lab.server.run(
        "firewall-cmd",
        "--add-rich-rule=rule family=ipv4 source address=10.203.1.0/24 port port=11434 protocol=tcp accept",
    )
    agree(lab)
    lab.server.run("firewall-cmd", "--zone=trusted", f"--change-interface=s2{lab.server.name.rsplit('-', 1)[-1]}")
    agree(lab)
    assert judged(lab.server)["firewalls"] == ["firewalld"]
