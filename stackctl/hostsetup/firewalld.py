"""A firewalld policy towards this host, whatever zone the packet came in by.

A policy with a negative priority is asked before the zones, so that Docker's
own zone, which accepts everything, does not decide first
(firewalld.policies(5); firewalld 0.9 or newer).
"""

from __future__ import annotations

from stackctl.hostsetup.host_plan import HostPlan
from stackctl.hostsetup.setup import Command, HostFile, Need, Setup
from stackctl.hostsetup.ufw import summary

NAME_LIMIT = 17  # iptables' limit on chain names leaves this much (firewall/functions.py)


def name(plan: HostPlan) -> str:
    """The policy's name."""
    return plan.short("sct-", NAME_LIMIT)


def render(plan: HostPlan) -> Setup:
    """The policy file for ``plan``."""
    port = f'<port port="{plan.port}" protocol="tcp"/>'
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<policy priority="-110" target="CONTINUE">',
        f"  <short>{plan.label}</short>",
        f"  <description>Written by `stackctl host-setup firewalld` for the project {plan.project}.</description>",
        '  <ingress-zone name="ANY"/>',
        '  <egress-zone name="HOST"/>',
    ]
    lines += [
        f'  <rule family="ipv{network.version}" priority="-10"><source address="{network}"/>{port}<accept/></rule>'
        for network in plan.allowed
    ]
    if plan.exclusive:
        lines += [f'  <rule family="ipv{v}" priority="10">{port}<reject type="{_REJECT[v]}"/></rule>' for v in (4, 6)]
    lines += ["</policy>"]
    return Setup(
        subject="firewalld",
        summary=summary(plan),
        files=(HostFile(f"/etc/firewalld/policies/{name(plan)}.xml", "\n".join(lines) + "\n"),),
        finish=(
            Command(("firewall-cmd", "--check-config"), "firewalld reads the policy without acting on it"),
            Command(("firewall-cmd", "--reload"), "puts it in force"),
        ),
        needs=(Need("program", "firewall-cmd", "dnf install firewalld, or use the firewall that this machine has"),),
        notes=(
            (
                "The Docker engine puts its own rules back after a reload; where containers stay cut off, "
                "`systemctl restart docker`."
            ),
        ),
    )


_REJECT = {4: "icmp-admin-prohibited", 6: "icmp6-adm-prohibited"}
