"""Rendered units and drop-ins, read by systemd itself."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from stackctl.hostsetup import iptables, nftables, ssh_tunnel, systemd
from stackctl.hostsetup.host_plan import HostPlan, Tunnel, parse_network
from stackctl.hostsetup.setup import Setup
from tests.host.lab import need, run, unit_values

PLAN = HostPlan(
    "ren-field_2",
    bind="172.17.0.1",
    docker_address=True,
    allowed=(parse_network("172.18.0.0/16"), parse_network("fd00::/64")),
    environment={
        "OLLAMA_KEEP_ALIVE": "24h",
        "OLLAMA_ORIGINS": 'app://*,100%"x"\\',
        "OLLAMA_MODELS": "/srv/my models/$x",
    },
    nft_chain=("inet", "filter", "input"),
    tunnel=Tunnel("gpu.example"),
)
# As Ollama's installer writes it (ollama/ollama: scripts/install.sh), with a program that is there.
INSTALLED = """[Unit]
Description=Ollama Service
After=network-online.target

[Service]
ExecStart=/bin/true serve
User=root
Restart=always
RestartSec=3
Environment="PATH=/usr/bin"

[Install]
WantedBy=default.target
"""


def verified(root: Path, setup: Setup, unit: str) -> str:
    """What ``systemd-analyze verify`` says of ``unit`` with the files of ``setup`` below ``root``."""
    need("systemd-analyze")
    names = {f.path: root / f.path.rpartition("/")[2] for f in setup.files}
    for file in setup.files:
        text = file.text
        for path, here in names.items():
            text = text.replace(path, str(here))
        target = root / file.path.removeprefix("/etc/systemd/system/") if ".service" in file.path else names[file.path]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(file.mode)
    done = run(["systemd-analyze", "verify", "--man=no", str(root / unit)], check=False)
    return done.stdout + done.stderr + (f"exit {done.returncode}" if done.returncode else "")


@pytest.mark.parametrize("plan", [PLAN, HostPlan("renfield")], ids=["all", "plain"])
def test_systemd_accepts_the_drop_in(tmp_path: Path, plan: HostPlan) -> None:
    (tmp_path / "ollama.service").write_text(INSTALLED)
    assert verified(tmp_path, systemd.render(plan), "ollama.service") == ""


@pytest.mark.parametrize(
    ("setup", "unit"),
    [
        (iptables.render(PLAN), "stackctl-ren-field_2-iptables.service"),
        (nftables.render(PLAN), "stackctl-ren-field_2-nftables.service"),
        (ssh_tunnel.render(PLAN), "stackctl-ren-field_2-tunnel.service"),
    ],
    ids=["iptables", "nftables", "ssh-tunnel"],
)
def test_systemd_accepts_the_unit(tmp_path: Path, setup: Setup, unit: str) -> None:
    said = verified(tmp_path, setup, unit).splitlines()
    # The user of the tunnel is made when it is applied; nothing else may be said.
    assert [line for line in said if "stackctl-tunnel" not in line] == []


def test_what_systemd_reads_is_what_was_meant() -> None:
    drop_in = systemd.render(PLAN).files[0].text
    assigned = dict(w[0].split("=", 1) for w in unit_values(drop_in, "Environment"))
    assert assigned == {"OLLAMA_HOST": "172.17.0.1:11434", **PLAN.environment}


def test_the_sysusers_file_makes_the_tunnels_user(tmp_path: Path) -> None:
    need("systemd-sysusers")
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).write_text("")
    file = ssh_tunnel.render(PLAN).files[0]
    target = tmp_path / file.path.lstrip("/")
    target.parent.mkdir(parents=True)
    target.write_text(file.text)
    run(["systemd-sysusers", f"--root={tmp_path}", Path(file.path).name])
    assert "stackctl-tunnel:" in (tmp_path / "etc" / "passwd").read_text()


def test_the_iptables_script_is_plain_sh(tmp_path: Path) -> None:
    script = tmp_path / "rules"
    script.write_text(iptables.render(PLAN).files[0].text)
    run(["sh", "-n", str(script)])
    done = run(["sh", str(script), "sideways"], check=False)
    assert done.returncode == 2
    assert shlex.split(done.stderr)[0] == "usage:"
