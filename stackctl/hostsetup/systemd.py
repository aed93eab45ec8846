"""A drop-in for ``ollama.service``: where Ollama listens, and its other variables.

Ollama's installer writes ``/etc/systemd/system/ollama.service`` anew on every
update and leaves ``ollama.service.d/`` alone (ollama/ollama: scripts/install.sh),
so settings belong there.
"""

from __future__ import annotations

import ipaddress

from stackctl.config.url import host_port
from stackctl.hostsetup.host_plan import HostPlan
from stackctl.hostsetup.setup import HostFile, Need, Setup, command

UNIT = "ollama.service"
DIRECTORY = f"/etc/systemd/system/{UNIT}.d"
# Drop-ins are read in the order of their names and the last assignment wins;
# `systemctl edit` writes override.conf, which sorts before this one.
PATH = f"{DIRECTORY}/stackctl.conf"


def render(plan: HostPlan) -> Setup:
    """The drop-in for ``plan``; raises ``ValueError`` for a value that no unit file can hold."""
    variables = {"OLLAMA_HOST": host_port(plan.bind, plan.port), **plan.environment}
    lines = [
        f'# Written by `stackctl host-setup systemd` for the project "{plan.project}".',
        "# A drop-in: updating Ollama rewrites ollama.service and leaves this file alone.",
    ]
    if plan.docker_address:
        lines += [
            "[Unit]",
            "# The address belongs to a Docker bridge, which is not there before the engine.",
            "Wants=docker.service",
            "After=docker.service",
            "StartLimitIntervalSec=0",
            "",
        ]
    lines += ["[Service]"]
    lines += [f"Environment={quote(f'{name}={value}')}" for name, value in variables.items()]
    if plan.docker_address:
        lines += ["Restart=always", "RestartSec=3"]
    return Setup(
        subject="systemd",
        summary=f"Ollama listens on {variables['OLLAMA_HOST']}, by a drop-in that survives updates",
        files=(HostFile(PATH, "\n".join(lines) + "\n"),),
        settle=(command("systemctl daemon-reload", "systemd reads the drop-in"),),
        finish=(command(f"systemctl restart {UNIT}", "Ollama starts with it; a generation under way is cut off"),),
        needs=(
            Need("program", "systemctl", "this machine does not run systemd; set OLLAMA_HOST where Ollama is started"),
        ),
        notes=_notes(plan),
    )


def quote(assignment: str) -> str:
    """``NAME=value`` as one word of ``Environment=`` (systemd.exec(5): C escapes, and ``%`` starts a specifier)."""
    if any(ord(c) < 32 or ord(c) == 127 for c in assignment):
        raise ValueError(f"a unit file cannot hold the control characters in {assignment!r}")
    escaped = assignment.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _notes(plan: HostPlan) -> tuple[str, ...]:
    address = ipaddress.ip_address(plan.bind)
    if address.is_unspecified:
        return (
            (
                "Ollama asks nobody for a password and now answers on every address of this machine: "
                "limit the port to the stack with `stackctl host-setup ufw`, firewalld, nftables or iptables."
            ),
        )
    if address.is_loopback:
        return ("Only this machine reaches a loopback address: containers need a proxy or a tunnel in front of it.",)
    return (
        (
            f"On this machine the `ollama` command now needs OLLAMA_HOST={host_port(plan.bind, plan.port)}, "
            "since 127.0.0.1 is no longer listened on."
        ),
    )
