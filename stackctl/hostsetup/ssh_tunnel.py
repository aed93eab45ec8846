"""An SSH tunnel to an Ollama that stays on the server's loopback: a systemd unit, or a Compose service.

The unit listens on the Docker bridge's address, which containers reach as
``host.docker.internal``; the service listens inside the stack's networks as
``ollama-tunnel.internal``. Both names pass the Host check of a server on
loopback, which accepts names that end in ``.internal`` and refuses others with
an empty 403 (ollama/ollama: server/routes.go, allowedHostsMiddleware).
"""

from __future__ import annotations

import json

from stackctl.config.url import host_port
from stackctl.hostsetup.host_plan import HostPlan, Tunnel, open_way
from stackctl.hostsetup.setup import Command, HostFile, Need, Setup, Step, command, shell, unit_steps

USER = "stackctl-tunnel"
SERVICE = "ollama-tunnel"
ALIAS = "ollama-tunnel.internal"
COMPOSE_FILE = "compose.ollama-tunnel.yaml"


def _tunnel(plan: HostPlan) -> Tunnel:
    if plan.tunnel is None:
        raise ValueError("ssh-tunnel needs the server's name: --ssh USER@HOST")
    return plan.tunnel


def ssh_arguments(tunnel: Tunnel, *, listen: str, identity: str, known_hosts: str) -> list[str]:
    """``ssh`` and its arguments: one forward and nothing else, dead within 45 s of the server's death."""
    options = {
        "BatchMode": "yes",
        "ExitOnForwardFailure": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "TCPKeepAlive": "yes",
    }
    argv = ["-N", "-T", "-F", "/dev/null"]
    for name, value in options.items():
        argv += ["-o", f"{name}={value}"]
    argv += ["-i", identity, "-p", str(tunnel.ssh_port), "-l", tunnel.user]
    return [*argv, "-L", f"{listen}:127.0.0.1:{tunnel.remote_port}", tunnel.host]


def authorized_key(plan: HostPlan) -> str:
    """The line for the server's ``authorized_keys``: this key opens one forward, no shell and nothing else.

    sshd has no word for "listen nowhere"; port 1 is one that only root could have.
    """
    tunnel = _tunnel(plan)
    return (
        f'restrict,port-forwarding,permitopen="127.0.0.1:{tunnel.remote_port}",permitlisten="127.0.0.1:1",'
        f'command="/bin/false" PUBLIC-KEY {plan.label}'
    )


def render(plan: HostPlan) -> Setup:
    """The unit for the Docker host, and the user that it runs as."""
    tunnel = _tunnel(plan)
    unit = f"{plan.label}-tunnel.service"
    return Setup(
        subject="ssh-tunnel",
        summary=f"{host_port(tunnel.bind, plan.port)} on the Docker host leads to Ollama on {tunnel.host}",
        files=(
            HostFile(
                "/etc/sysusers.d/stackctl-tunnel.conf",
                f'# Written by `stackctl host-setup ssh-tunnel`.\nu {USER} - "SSH tunnels to Ollama" /\n',
            ),
            HostFile(f"/etc/systemd/system/{unit}", _unit(plan, tunnel)),
        ),
        settle=(command("systemctl daemon-reload", "systemd reads the unit"),),
        steps=(
            Step(Command(("systemd-sysusers", "stackctl-tunnel.conf"), "makes the user that the tunnel runs as")),
            Step(_give(tunnel, USER, "the tunnel's user alone reads the key"), _give(tunnel, "root")),
            *unit_steps(
                unit, at_boot="the tunnel comes back at boot", start="opens the tunnel", stop="closes the tunnel"
            ),
        ),
        needs=(Need("program", "ssh", "apt-get install openssh-client"), *_keys(tunnel)),
        notes=(
            _server_note(plan),
            f"In stackctl.yaml: instances: {{NAME: {{url: http://host.docker.internal:{plan.port}}}}}.",
            (
                f"Every container on this machine reaches {tunnel.bind}; a firewall can limit it: "
                "`stackctl host-setup ufw`, or another."
            ),
        ),
    )


def render_compose(plan: HostPlan) -> Setup:
    """The same tunnel as a service of the stack, in a Compose file of its own."""
    tunnel = _tunnel(plan)
    return Setup(
        subject="ssh-tunnel",
        summary=f"http://{ALIAS}:{plan.port} inside the stack leads to Ollama on {tunnel.host}",
        files=(HostFile(COMPOSE_FILE, _service(plan, tunnel)),),
        needs=_keys(tunnel),
        notes=(
            _server_note(plan),
            (
                f"In stackctl.yaml: add {COMPOSE_FILE} to compose.files (after the files that are there), "
                f"and instances: {{NAME: {{url: http://{ALIAS}:{plan.port}}}}}."
            ),
            f"Use that name, not {SERVICE}: a server on loopback refuses a Host that does not end in .internal.",
        ),
    )


def _give(tunnel: Tunnel, user: str, why: str = "") -> Command:
    files = (tunnel.identity, tunnel.known_hosts)
    opening = open_way(*files)
    return shell(f"{opening}chown {user}: {' '.join(files)}; chmod 0600 {tunnel.identity}", why)


def _keys(tunnel: Tunnel) -> tuple[Need, ...]:
    return (
        Need("file", tunnel.identity, f"ssh-keygen -t ed25519 -N '' -f {tunnel.identity}"),
        Need(
            "file",
            tunnel.known_hosts,
            f"ssh-keyscan -p {tunnel.ssh_port} {tunnel.host} >{tunnel.known_hosts}, "
            "then compare the key with the server's",
        ),
    )


def _server_note(plan: HostPlan) -> str:
    tunnel = _tunnel(plan)
    return (
        f"On {tunnel.host}, in ~{tunnel.user}/.ssh/authorized_keys, with the content of {tunnel.identity}.pub "
        f"for PUBLIC-KEY: {authorized_key(plan)}"
    )


def _unit(plan: HostPlan, tunnel: Tunnel) -> str:
    argv = ssh_arguments(
        tunnel,
        listen=host_port(tunnel.bind, plan.port),
        identity=tunnel.identity,
        known_hosts=tunnel.known_hosts,
    )
    return f"""# Written by `stackctl host-setup ssh-tunnel` for the project "{plan.project}".
[Unit]
Description=SSH tunnel from the stack {plan.project} to Ollama on {tunnel.host}
Wants=network-online.target
# The address belongs to a Docker bridge, which is not there before the engine.
After=network-online.target docker.service
StartLimitIntervalSec=0

[Service]
User={USER}
ExecStart=/usr/bin/ssh {" ".join(argv)}
Restart=always
RestartSec=5
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome={"no" if tunnel.identity.startswith(("/home/", "/root/")) else "yes"}
PrivateTmp=yes
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX

[Install]
WantedBy=multi-user.target
"""


def _service(plan: HostPlan, tunnel: Tunnel) -> str:
    """Compose text; every value that could be read as something else is quoted as JSON, which YAML understands."""
    argv = ssh_arguments(
        tunnel,
        listen=f"0.0.0.0:{plan.port}",
        identity="/run/secrets/ollama_tunnel_key",
        known_hosts="/run/secrets/ollama_tunnel_known_hosts",
    )
    networks = tunnel.networks or ("default",)
    quoted = json.dumps
    lines = [
        f'# Written by `stackctl host-setup ssh-tunnel --compose` for the project "{plan.project}".',
        "services:",
        f"  {SERVICE}:",
        "    build:",
        "      args: {BASE: " + quoted(tunnel.base_image) + "}",
        "      dockerfile_inline: |",
        "        ARG BASE=debian:stable-slim",
        "        FROM $$BASE",
        "        RUN command -v ssh >/dev/null || { apt-get update && \\",
        "            apt-get install -y --no-install-recommends openssh-client && rm -rf /var/lib/apt/lists/*; }",
        "    entrypoint: [ssh]",
        "    command:",
        *(f"      - {quoted(_compose_literal(word))}" for word in argv),
        "    networks:",
    ]
    for network in networks:
        lines += [f"      {quoted(network)}:", f"        aliases: [{ALIAS}]"]
    lines += [
        "    secrets: [ollama_tunnel_key, ollama_tunnel_known_hosts]",
        "    restart: unless-stopped",
        "    init: true",
        "    read_only: true",
        "    # A key of another user's is still to be read; nothing else is asked of root.",
        "    cap_drop: [ALL]",
        "    cap_add: [DAC_READ_SEARCH]",
        '    security_opt: ["no-new-privileges:true"]',
        "    healthcheck:",
        "      # The connection to the server is there for as long as the forward is listened on.",
        f"      test: [CMD-SHELL, \"grep -q ':{plan.port:04X} .* 0A ' /proc/net/tcp\"]",
        "      interval: 10s",
        "      timeout: 3s",
        "      retries: 3",
        "      start_period: 15s",
        "secrets:",
        f"  ollama_tunnel_key: {{file: {quoted(_compose_literal(tunnel.identity))}}}",
        f"  ollama_tunnel_known_hosts: {{file: {quoted(_compose_literal(tunnel.known_hosts))}}}",
        "",
    ]
    return "\n".join(lines)


def _compose_literal(text: str) -> str:
    """Text that Compose does not interpolate."""
    return text.replace("$", "$$")
