"""Every set-up by its name on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackctl.hostsetup import caddy, firewalld, iptables, nftables, nginx, ssh_tunnel, systemd, ufw
from stackctl.hostsetup.host_plan import HostPlan
from stackctl.hostsetup.setup import Setup

FIREWALLS = frozenset({"ufw", "firewalld", "iptables", "nftables"})

RENDER: Mapping[str, Callable[[HostPlan], Setup]] = {
    "systemd": systemd.render,
    "ufw": ufw.render,
    "firewalld": firewalld.render,
    "iptables": iptables.render,
    "nftables": nftables.render,
    "nginx": nginx.render,
    "caddy": caddy.render,
    "ssh-tunnel": ssh_tunnel.render,
}
