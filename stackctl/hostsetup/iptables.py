"""iptables and ip6tables: a chain of our own, jumped to from the top of INPUT, put back at every boot by a unit."""

from __future__ import annotations

from stackctl.hostsetup.host_plan import ETC, HostPlan, Network
from stackctl.hostsetup.setup import HostFile, Need, Setup, command, unit_steps
from stackctl.hostsetup.ufw import summary

NAME_LIMIT = 28  # of a chain (iptables(8))


def chain(plan: HostPlan) -> str:
    """The chain's name."""
    return plan.short("stackctl-", NAME_LIMIT)


def render(plan: HostPlan) -> Setup:
    """A script that starts and stops the rules, and a unit that runs it."""
    script = f"{ETC}/iptables-{plan.project}"
    unit = f"{plan.label}-iptables.service"
    return Setup(
        subject="iptables",
        summary=summary(plan),
        files=(
            HostFile(script, _script(plan), 0o755),
            HostFile(f"/etc/systemd/system/{unit}", _unit(plan, script)),
        ),
        settle=(command("systemctl daemon-reload", "systemd reads the unit"),),
        steps=unit_steps(
            unit, at_boot="the rules come back at boot", start="puts the rules in force", stop="takes the rules out"
        ),
        needs=(
            Need("program", "iptables-restore", "apt-get install iptables"),
            Need("program", "systemctl", f"without systemd, write the files and run `{script} start` at boot"),
        ),
        notes=(
            (
                "An `iptables -F` or the reload of another firewall can take the jump away; "
                f"`systemctl restart {unit}` puts it back."
            ),
            "A port that a container publishes is forwarded, not received: its rules belong into DOCKER-USER.",
        ),
    )


def _script(plan: HostPlan) -> str:
    name = chain(plan)
    jump = f"INPUT -p tcp -m tcp --dport {plan.port} -j {name}"
    four = _restore(plan, plan.allowed4, "icmp-admin-prohibited")
    six = _restore(plan, plan.allowed6, "icmp6-adm-prohibited")
    return f"""#!/bin/sh
# Written by `stackctl host-setup iptables` for the project "{plan.project}".
# start puts the rules in force, as often as one likes; stop takes them out.
set -eu

has6() {{ [ -e /proc/net/if_inet6 ] && command -v ip6tables >/dev/null; }}

rules4() {{ cat <<'RULES'
{four}RULES
}}

rules6() {{ cat <<'RULES'
{six}RULES
}}

# The chain is replaced in one go; then the jump is put at the top of INPUT, once.
start() {{
  "rules$2" | "$1-restore" -w --noflush
  "$1" -w -C {jump} 2>/dev/null || "$1" -w -I {jump}
}}

stop() {{
  while "$1" -w -D {jump} 2>/dev/null; do :; done
  if "$1" -w -S {name} >/dev/null 2>&1; then
    "$1" -w -F {name}
    "$1" -w -X {name}
  fi
}}

case ${{1:-}} in
  start) start iptables 4; if has6; then start ip6tables 6; fi ;;
  stop) stop iptables; if has6; then stop ip6tables; fi ;;
  *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
"""


def _restore(plan: HostPlan, allowed: tuple[Network, ...], reject: str) -> str:
    """Input for ``iptables-restore --noflush``: naming a chain there empties it."""
    name = chain(plan)
    lines = ["*filter", f":{name} - [0:0]", f"-A {name} -i lo -j ACCEPT"]
    lines += [f"-A {name} -s {network} -j ACCEPT" for network in allowed]
    if plan.exclusive:
        lines.append(f"-A {name} -j REJECT --reject-with {reject}")
    lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def _unit(plan: HostPlan, script: str) -> str:
    return f"""# Written by `stackctl host-setup iptables` for the project "{plan.project}".
[Unit]
Description=Who may reach the port of Ollama, for the stack {plan.project}
After=netfilter-persistent.service iptables.service ip6tables.service
Before=ollama.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={script} start
ExecStop={script} stop

[Install]
WantedBy=multi-user.target
"""
