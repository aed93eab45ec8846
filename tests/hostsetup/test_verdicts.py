"""What the checks make of what was seen: no machine is needed to judge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.hostsetup import iptables_rules, nft_rules
from stackctl.hostsetup.check import CHECKS, findings_of, run_checks
from stackctl.hostsetup.host_plan import parse_network
from stackctl.hostsetup.observed import Device, Disk, Firewall, Gpus, HeldSocket, HostObserved, Process
from stackctl.hostsetup.packets import Packet
from stackctl.hostsetup.units import UnitFile
from stackctl.sockets import Listening

GIB = 1 << 30
OLLAMA = Process(
    7, "ollama", ("/usr/local/bin/ollama", "serve"), "/usr/local/bin/ollama", "ollama", {"OLLAMA_HOST": "0.0.0.0"}
)
DEVICES = (
    Device("lo", ("127.0.0.1/8", "::1/128")),
    Device("eth0", ("192.168.1.5/24",)),
    Device("docker0", ("172.17.0.1/16",)),
    Device("br-1234", ("172.18.0.1/16",)),
)
LIMITED = (
    "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n"
    "-A INPUT -s 172.16.0.0/12 -p tcp -m tcp --dport 11434 -j ACCEPT\n"
    "-A INPUT -s 192.168.1.0/24 -j ACCEPT\nCOMMIT\n"
)
GOOD = HostObserved(
    port=11434,
    root=True,
    processes=(OLLAMA,),
    devices=DEVICES,
    properties={"LoadState": "loaded", "ActiveState": "active"},
    listeners=(HeldSocket(Listening("::", 11434, 1, 999), OLLAMA),),
    files=(
        UnitFile("/etc/systemd/system/ollama.service", '[Service]\nEnvironment="PATH=/bin"\n'),
        UnitFile(
            "/etc/systemd/system/ollama.service.d/stackctl.conf", '[Service]\nEnvironment="OLLAMA_HOST=0.0.0.0"\n', True
        ),
    ),
    firewall=Firewall(ufw_enabled=False, iptables=LIMITED, ip6tables="*filter\n:INPUT DROP [0:0]\nCOMMIT\n", nft=None),
    disk=Disk("/usr/share/ollama", 500 * GIB, 200 * GIB),
    greeting="HTTP 200 Ollama is running",
    running_version="0.33.0",
    installed_version="0.33.0",
)


def causes(seen: HostObserved, *sources: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in findings_of(run_checks(seen, [parse_network(s) for s in sources])):
        found.setdefault(one.cause, one.severity)
    return found


def test_a_good_server_has_no_finding() -> None:
    results = run_checks(GOOD)
    assert [r.status for r in results] == ["passed"] * len(CHECKS)
    assert findings_of(results) == []
    assert causes(GOOD, "172.18.0.0/16") == {}


def listener(address: str, port: int = 11434, process: Process | None = OLLAMA) -> HeldSocket:
    return HeldSocket(Listening(address, port, 1, 0), process)


def serving(**environment: str) -> HostObserved:
    """The good server with this environment in force."""
    process = replace(OLLAMA, environment=environment)
    return replace(GOOD, processes=(process,), listeners=(listener("::", process=process),))


NGINX = Process(9, "nginx", ("nginx: master process",), "/usr/sbin/nginx", "root")
PROXY_DOCKER = Process(10, "docker-proxy", ("/usr/bin/docker-proxy",), "/usr/bin/docker-proxy", "root")
BOXED = replace(OLLAMA, pid=11, container="c" * 64)
SMI = (0, "NVIDIA RTX, 24576 MiB, 560.35\n")

SCENES: dict[str, tuple[HostObserved, dict[str, str]]] = {
    "loopback": (replace(GOOD, listeners=(listener("127.0.0.1"),)), {"host-ollama-loopback-only": "error"}),
    "loopback of both families": (
        replace(GOOD, listeners=(listener("127.0.0.1"), listener("::1"))),
        {"host-ollama-loopback-only": "error"},
    ),
    "loopback behind nginx": (
        replace(GOOD, listeners=(listener("127.0.0.1"), listener("0.0.0.0", 443, NGINX))),
        {"host-ollama-loopback-only": "info"},
    ),
    "nginx on loopback is no door": (
        replace(GOOD, listeners=(listener("127.0.0.1"), listener("127.0.0.1", 443, NGINX))),
        {"host-ollama-loopback-only": "error"},
    ),
    "one LAN address": (replace(GOOD, listeners=(listener("192.168.1.5"),)), {"bound-to-one-lan-ip": "info"}),
    "IPv6 only": (replace(GOOD, v6_only=True), {"bindv6only": "error"}),
    "nothing": (replace(GOOD, listeners=(), processes=()), {"ollama-not-running": "error"}),
    "port in use at start": (
        replace(
            GOOD, listeners=(), processes=(), journal="Error: listen tcp 127.0.0.1:11434: bind: address already in use"
        ),
        {"port-already-allocated": "error"},
    ),
    "bound too early": (
        replace(
            GOOD,
            listeners=(),
            processes=(),
            journal="x\nError: listen tcp 172.17.0.1:11434: bind: cannot assign requested address",
        ),
        {"bind-before-docker0": "error"},
    ),
    "another program": (
        replace(GOOD, listeners=(listener("0.0.0.0", process=NGINX),), processes=(), greeting="HTTP 200 <html>"),
        {"wrong-service-answers": "error"},
    ),
    "a proxy with a token on the port itself": (
        replace(GOOD, listeners=(listener("0.0.0.0", process=NGINX),), processes=(), greeting="HTTP 401 {}"),
        {},
    ),
    "a container's published port": (
        replace(GOOD, listeners=(listener("0.0.0.0", process=PROXY_DOCKER),), processes=(BOXED,)),
        {},
    ),
    "a container and a native one": (replace(GOOD, processes=(OLLAMA, BOXED)), {"different-instance-or-store": "info"}),
    "another port": (
        replace(
            GOOD,
            listeners=(listener("0.0.0.0", 80),),
            processes=(replace(OLLAMA, environment={"OLLAMA_HOST": "http://0.0.0.0"}),),
        ),
        {"url-port-omitted-or-80": "error", "systemd-env-not-applied": "error"},
    ),
    "snap": (replace(GOOD, files=(), snap=True), {"snap-ollama-env-ignored": "info"}),
    "a package's own unit without a host is fine": (
        replace(
            serving(OLLAMA_MODELS="/m"),
            files=(UnitFile("/usr/lib/systemd/system/ollama.service", '[Service]\nEnvironment="OLLAMA_MODELS=/m"\n'),),
        ),
        {},
    ),
    "reload forgotten": (replace(GOOD, properties={"NeedDaemonReload": "yes"}), {"systemd-env-not-applied": "warning"}),
    "a variable that is not read": (
        serving(OLLAMA_HOST="0.0.0.0", OLLAMA_NUM_CTX="8192"),
        {"deprecated-env-name": "info"},
    ),
    "disk low": (replace(GOOD, disk=Disk("/m", 500 * GIB, 5 * GIB)), {"disk-full": "warning"}),
    "disk full": (replace(GOOD, disk=Disk("/m", 500 * GIB, GIB // 2)), {"disk-full": "error"}),
    "updated": (replace(GOOD, installed_version="0.34.0"), {"old-version-still-runs": "warning"}),
    "replaced": (
        replace(
            GOOD,
            processes=(replace(OLLAMA, deleted=True),),
            listeners=(listener("::", process=replace(OLLAMA, deleted=True)),),
        ),
        {"old-version-still-runs": "warning"},
    ),
    "GPU fine": (
        replace(GOOD, gpus=Gpus(("0x10de",), ("/dev/nvidia-uvm",), SMI, ('msg="inference compute" library=CUDA',))),
        {},
    ),
    "GPU not used": (
        replace(
            GOOD, gpus=Gpus(("0x10de",), ("/dev/nvidia-uvm",), SMI, ('msg="inference compute" id=cpu library=cpu',))
        ),
        {"gpu-not-used": "warning"},
    ),
    "uvm": (replace(GOOD, gpus=Gpus(("0x10de",), (), SMI)), {"uvm-not-loaded": "warning"}),
    "old driver": (
        replace(GOOD, gpus=Gpus(("0x10de",), ("/dev/nvidia-uvm",), (0, "GTX, 8192 MiB, 470.223\n"))),
        {"nvidia-driver-too-old": "warning"},
    ),
    "driver mismatch": (
        replace(GOOD, gpus=Gpus(("0x10de",), (), (18, "Failed to initialize NVML: Driver/library version mismatch"))),
        {"nvml-driver-mismatch": "error"},
    ),
    "no driver": (replace(GOOD, gpus=Gpus(("0x10de",))), {"gpu-driver-missing": "warning"}),
    "AMD without ROCm": (replace(GOOD, gpus=Gpus(("0x1002",))), {"rocm-device-or-permission": "warning"}),
    "open to everybody": (
        replace(GOOD, firewall=Firewall(iptables="*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")),
        {"port-open-to-everybody": "warning"},
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_scene(name: str) -> None:
    seen, expected = SCENES[name]
    assert causes(seen) == expected


@pytest.mark.parametrize(
    ("rules", "sources", "expected"),
    [
        (
            "-A INPUT -i docker0 -j ACCEPT\n-A INPUT -p tcp --dport 11434 -j DROP\n",
            ("172.18.0.0/16",),
            {"host-firewall-drops-bridge": "error"},
        ),
        (
            "-A INPUT -i docker0 -j ACCEPT\n-A INPUT -p tcp --dport 11434 -j DROP\n",
            ("172.17.0.0/16", "172.18.0.0/16"),
            {"firewall-allows-docker0-only": "error"},
        ),
        (
            "-A INPUT -p tcp --dport 11434 -j REJECT --reject-with icmp-host-prohibited\n",
            ("172.18.0.0/16",),
            {"firewall-rejects-ehostunreach": "error"},
        ),
        ("-A INPUT -p tcp --dport 11434 -j DROP\n", ("192.168.1.20",), {"lan-server-firewall": "error"}),
        (
            "-A INPUT -s 192.168.1.0/24 -p tcp --dport 11434 -j DROP\n",
            (),
            {"lan-server-firewall": "warning", "port-open-to-everybody": "warning"},
        ),
    ],
)
def test_firewall_causes(rules: str, sources: tuple[str, ...], expected: dict[str, str]) -> None:
    seen = replace(GOOD, firewall=Firewall(iptables=f"*filter\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n"))
    assert causes(seen, *sources) == expected


def test_a_rule_that_is_not_understood_makes_the_answer_unknown_and_never_passed() -> None:
    packet = Packet("10.0.0.1", "10.0.0.2", 11434)
    doubtful = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m recent --rcheck --name x -j DROP\nCOMMIT\n"
    assert iptables_rules.judge(iptables_rules.parse_save(doubtful), packet).answer == "unknown"
    agreed = doubtful.replace("INPUT ACCEPT", "INPUT DROP")
    assert iptables_rules.judge(iptables_rules.parse_save(agreed), packet).answer == "drop"
    seen = replace(GOOD, firewall=Firewall(iptables=doubtful))
    result = next(r for r in run_checks(seen, [parse_network("10.0.0.1")]) if r.id == "firewall")
    assert result.status == "unknown"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        '{"nftables": []}',
        '{"nftables": [{"rule": {"family": "ip", "table": "t", "chain": "c"}}]}',
    ],
)
def test_odd_rulesets_decide_nothing(text: str) -> None:
    assert nft_rules.judge(nft_rules.parse_ruleset(text), Packet("10.0.0.1", "10.0.0.2", 1)).answer == "accept"


def test_chains_that_call_each_other_end() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -j B\n-A B -j A\nCOMMIT\n"
    assert iptables_rules.judge(iptables_rules.parse_save(text), Packet("10.0.0.1", "10.0.0.2", 1)).answer == "unknown"


def test_a_user_is_told_what_only_root_sees() -> None:
    seen = replace(
        GOOD,
        root=False,
        listeners=(listener("::", process=None),),
        processes=(replace(OLLAMA, environment=None),),
        firewall=Firewall(),
    )
    status = {r.id: r.status for r in run_checks(seen)}
    assert status["environment"] == status["firewall"] == status["owner"] == "unknown"


def test_secrets_in_a_unit_are_not_shown() -> None:
    unit = UnitFile(
        "/etc/systemd/system/ollama.service",
        '[Service]\nEnvironment="OLLAMA_API_KEY=hunter2"\n[Unit]\nEnvironment="OLLAMA_TOKEN=hunter2"\n',
    )
    seen = replace(serving(OLLAMA_API_KEY="hunter2", OLLAMA_TOKEN="hunter3"), files=(unit,))
    results = run_checks(seen)
    assert "hunter2" not in str([r.document() for r in results]) + str([f.document() for f in findings_of(results)])
