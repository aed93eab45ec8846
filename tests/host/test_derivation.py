"""What the user does not say is taken from the stack: its subnets from the engine, the rest from stackctl.yaml."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.lab import run
from tests.host.machines import BASE, ROOT

pytestmark = pytest.mark.engine

CONFIG = """version: 1
consumers:
  backend: {env: {OLLAMA_URL: "{url}", OLLAMA_API_KEY: "{token}"}}
local: {tuning: {num_parallel: 4, keep_alive: 24h}}
instances:
  here: {url: "http://host.docker.internal:11434"}
  lan: {url: "http://192.0.2.10:11500"}
  tls: {url: "https://ollama.example.test:8443/gpu", auth: {bearer: "${OLLAMA_TOKEN}"}}
"""


class Stack:
    """A Compose project of two networks, one of which no consumer joins."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.project = f"sct-derive-{secrets.token_hex(3)}"
        (directory / "stackctl.yaml").write_text(CONFIG)
        service = {"image": BASE, "command": ["sleep", "infinity"], "labels": {"io.stackctl.test": "1"}}
        (directory / "compose.yaml").write_text(
            json.dumps(
                {
                    "name": self.project,
                    "services": {
                        "backend": {**service, "networks": ["back"], "environment": {"OLLAMA_URL": "http://x:1"}},
                        "db": {**service, "networks": ["data"]},
                    },
                    "networks": {
                        "back": {"labels": {"io.stackctl.test": "1"}},
                        "data": {"labels": {"io.stackctl.test": "1"}},
                    },
                }
            )
        )

    def create(self) -> None:
        run(["docker", "compose", "up", "--no-start"], cwd=self.directory)

    def subnet(self, key: str) -> str:
        found = json.loads(run(["docker", "network", "inspect", f"{self.project}_{key}"]).stdout)
        return str(found[0]["IPAM"]["Config"][0]["Subnet"])

    def setup(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "stackctl", "host-setup", *arguments, "--json"],
            cwd=self.directory,
            text=True,
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OLLAMA_TOKEN": "s3cr3t-value"},
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "s3cr3t" not in done.stdout + done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path)
    try:
        yield made
    finally:
        run(["docker", "compose", "down", "--timeout", "1"], cwd=tmp_path, check=False)


def test_the_sources_are_the_subnets_of_the_consumers(stack: Stack) -> None:
    early = stack.setup("nftables", "--instance", "here", code=2)
    assert "does not exist yet" in early["message"]
    assert "--from" in early["hint"]
    stack.create()
    document = stack.setup("nftables", "--instance", "here")
    rules = document["files"][0]["text"]
    assert f"elements = {{ {stack.subnet('back')} }}" in rules
    assert stack.subnet("data") not in rules
    assert "tcp dport 11434" in rules
    assert any("may choose another" in note for note in document["notes"])
    assert document["project"] == stack.project


def test_a_server_elsewhere_sees_this_machine(stack: Stack) -> None:
    document = stack.setup("iptables", "--instance", "lan")
    route = json.loads(run(["ip", "-json", "route", "get", "192.0.2.10"]).stdout)
    assert f"-s {route[0]['prefsrc']}/32 -j ACCEPT" in document["files"][0]["text"]
    assert "--dport 11500" in document["files"][0]["text"]
    assert any("sees the stack as" in note for note in document["notes"])


def test_said_sources_win(stack: Stack) -> None:
    document = stack.setup("ufw", "--from", "10.1.0.0/25", "--from", "10.1.0.128/25", "--from", "fd00::7")
    allowed = [a["command"] for a in document["apply"] if " allow " in a["command"]]
    assert [c.split(" from ")[1].split(" to ")[0] for c in allowed] == ["10.1.0.0/24", "fd00::7/128"]


def test_sources_that_limit_nothing_together_are_refused(stack: Stack) -> None:
    document = stack.setup("nftables", "--from", "0.0.0.0/1", "--from", "128.0.0.0/1", code=2)
    assert "every address there is" in document["message"]


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.0.0.0/33", "house", ""])
def test_a_source_that_limits_nothing_is_refused(stack: Stack, text: str) -> None:
    assert "--from" in stack.setup("ufw", "--from", text, code=2)["message"]


def test_behind_tls_ollama_stays_on_loopback_and_the_proxy_has_what_the_url_says(stack: Stack) -> None:
    unit = stack.setup("systemd", "--instance", "tls", "--tuning")["files"][0]["text"]
    assert 'Environment="OLLAMA_HOST=127.0.0.1:11434"' in unit
    assert 'Environment="OLLAMA_NUM_PARALLEL=4"' in unit
    assert 'Environment="OLLAMA_KEEP_ALIVE=24h"' in unit
    site = stack.setup("nginx", "--instance", "tls")["files"][0]["text"]
    assert "server_name ollama.example.test;" in site
    assert "listen 8443 ssl;" in site
    assert "location /gpu/ {" in site
    caddyfile = stack.setup("caddy", "--instance", "tls", "--no-token")["files"][0]["text"]
    assert "https://ollama.example.test:8443 {" in caddyfile
    assert "unauthorised" not in caddyfile
    rules = stack.setup("nftables", "--instance", "tls", "--from", "192.0.2.4")["files"][0]["text"]
    assert "tcp dport 8443" in rules


def test_a_port_that_others_need_is_not_closed_to_them(stack: Stack) -> None:
    document = stack.setup("ufw", "--from", "192.0.2.4", "--port", "443")
    assert not [a for a in document["apply"] if " deny " in a["command"]]
    assert any("closed to nobody" in note for note in document["notes"])


def test_an_address_of_dockers_waits_for_docker(stack: Stack) -> None:
    bridge = json.loads(run(["docker", "network", "inspect", "bridge"]).stdout)[0]["IPAM"]["Config"][0]
    gateway = bridge.get("Gateway") or str(next(ipaddress.ip_network(bridge["Subnet"]).hosts()))
    assert "After=docker.service" in stack.setup("systemd", "--instance", "here", "--bind", gateway)["files"][0]["text"]
    assert "After=docker" not in stack.setup("systemd", "--instance", "here", "--bind", "192.0.2.1")["files"][0]["text"]


def test_the_tunnel_joins_the_consumers_networks(stack: Stack) -> None:
    text = stack.setup("ssh-tunnel", "--ssh", "me@gpu.example:2200", "--compose", "--instance", "here")["files"][0][
        "text"
    ]
    assert '"back":' in text
    assert '"data":' not in text
    assert '- "2200"' in text
    unit = next(
        f["text"]
        for f in stack.setup("ssh-tunnel", "--ssh", "me@gpu.example")["files"]
        if "tunnel.service" in f["path"]
    )
    assert "-l me -L 172." in unit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nginx", "--instance", "here", "--server-name", "a;b"), "name"),
        (("nginx", "--instance", "tls", "--token-file", "/etc/x; rm"), "absolute path"),
        (("nginx", "--instance", "tls", "--token-file", "/etc/../shadow"), "absolute path"),
        (("nginx", "--instance", "tls", "--certificate", "/c"), "key"),
        (("ssh-tunnel", "--ssh", "-oProxyCommand=x"), "USER@HOST"),
        (("ssh-tunnel", "--ssh", "a@b c"), "USER@HOST"),
        (("ssh-tunnel",), "--ssh"),
        (("systemd", "--bind", "everywhere"), "not an IP"),
        (("systemd", "--set", "OLLAMA_HOST=1"), "--set"),
        (("systemd", "--set", "X"), "NAME=VALUE"),
        (("systemd", "--set", "MY_TOKEN=abc"), "secret"),
        (("systemd", "--set", "OLLAMA_MODELS=/a\nExecStartPre=/bin/x"), "control characters"),
        (("nftables", "--nft-chain", "inet filter; flush ruleset"), "FAMILY TABLE CHAIN"),
        (("systemd", "--instance", "nobody"), "nobody"),
        (("ufw", "--apply", "--undo"), "exclude"),
        (("ufw", "--compose"), "ssh-tunnel"),
        (("samba",), "samba"),
    ],
)
def test_wrong_usage_is_refused_with_what_is_right(stack: Stack, arguments: tuple[str, ...], said: str) -> None:
    document = stack.setup(*arguments, code=2)
    assert said in document["message"] + document["hint"]


def test_written_scripts_are_complete_and_nothing_of_others_is_overwritten(stack: Stack, tmp_path: Path) -> None:
    written = stack.setup("iptables", "--from", "192.0.2.4", "--write", "out")["written"]
    assert str(tmp_path / "out" / "apply.sh") in written
    for script in ("apply.sh", "undo.sh"):
        run(["sh", "-n", str(tmp_path / "out" / script)])
    assert (tmp_path / "out" / "etc" / "stackctl" / f"iptables-{stack.project}").stat().st_mode & 0o777 == 0o755
    stack.setup("iptables", "--from", "192.0.2.5", "--write", "out")
    (tmp_path / "out" / "apply.sh").write_text("mine\n")
    assert "not stackctl's" in stack.setup("iptables", "--from", "192.0.2.4", "--write", "out", code=2)["message"]
    assert (tmp_path / "out" / "apply.sh").read_text() == "mine\n"
