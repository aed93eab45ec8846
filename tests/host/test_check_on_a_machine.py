"""host-check finds the faults of a server, one at a time, made for real on a machine with systemd."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.host.machines import Machine
from tests.host.test_machine import causes, reaches

pytestmark = pytest.mark.engine
UNIT = "/etc/systemd/system/ollama.service"
OVERRIDE = f"{UNIT}.d/override.conf"


def restart(machine: Machine) -> None:
    machine.sh("systemctl daemon-reload && systemctl restart ollama")
    machine.settle()


def finding(document: dict[str, Any], cause: str) -> dict[str, Any]:
    return next(f for f in document["findings"] if f["cause"] == cause)


def test_stopped_and_never_started(machine: Machine) -> None:
    machine.sh("systemctl stop ollama")
    code, document = machine.check()
    assert (code, causes(document)) == (1, {"ollama-not-running": "error"})
    assert any("inactive" in line for line in finding(document, "ollama-not-running")["evidence"])


def test_edited_in_the_unit_itself(machine: Machine) -> None:
    machine.sh(f"sed -i '/^Environment/a Environment=\"OLLAMA_HOST=0.0.0.0:11434\"' {UNIT}")
    restart(machine)
    code, document = machine.check()
    assert code == 0
    assert causes(document)["systemd-override-lost-on-update"] == "warning"
    evidence = finding(document, "systemd-override-lost-on-update")["evidence"]
    assert evidence[0] == f"{UNIT}:12: OLLAMA_HOST=0.0.0.0:11434"


def test_written_but_not_in_force(machine: Machine) -> None:
    machine.write(OVERRIDE, '[Service]\nEnvironment="OLLAMA_HOST=0.0.0.0:11434"\n')
    code, document = machine.check()
    assert code == 1
    assert causes(document)["systemd-env-not-applied"] == "error"
    assert causes(document)["host-ollama-loopback-only"] == "error"
    restart(machine)
    code, document = machine.check()
    assert code == 0
    assert "systemd-env-not-applied" not in causes(document)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[Service]\nEnvironment=“OLLAMA_HOST=0.0.0.0:11434”\n", "typographic"),
        ('[Unit]\nEnvironment="OLLAMA_HOST=0.0.0.0:11434"\n', r"only \[Service\]"),
        ("[Service]\nOLLAMA_HOST=0.0.0.0:11434\n", "no such setting"),
        ('Environment="OLLAMA_HOST=0.0.0.0:11434"\n', r"only \[Service\]"),
        ("[Service]\nEnvironment=OLLAMA_HOST = 0.0.0.0:11434\n", "spaces"),
    ],
)
def test_a_line_that_systemd_ignores(machine: Machine, text: str, reason: str) -> None:
    machine.write(OVERRIDE, text)
    restart(machine)
    assert machine.listens() == {"127.0.0.1"}, "systemd must really ignore it"
    code, document = machine.check()
    assert code == 1
    said = finding(document, "systemd-env-not-applied")
    assert said["severity"] == "error"
    assert re.search(reason, " ".join(said["evidence"]))
    assert said["evidence"][0].startswith(OVERRIDE)


def test_a_scheme_without_a_port(machine: Machine) -> None:
    machine.write(OVERRIDE, '[Service]\nUser=root\nEnvironment="OLLAMA_HOST=http://0.0.0.0"\n')
    machine.sh("systemctl daemon-reload && systemctl restart ollama")
    machine.sh("timeout 10 sh -c 'until ss -Hltn sport = :80 | grep -q .; do sleep 0.1; done'")
    code, document = machine.check()
    assert code == 1
    assert causes(document)["url-port-omitted-or-80"] == "error"
    assert "port 80" in finding(document, "url-port-omitted-or-80")["summary"]


def test_the_port_is_another_programs(machine: Machine) -> None:
    machine.sh("systemctl stop ollama")
    machine.write(
        "/root/squatter.py",
        "import http.server as h; h.HTTPServer(('0.0.0.0', 11434), h.SimpleHTTPRequestHandler).serve_forever()\n",
    )
    machine.sh("systemd-run --unit=squatter python3 /root/squatter.py")
    machine.settle("the squatter")
    code, document = machine.check()
    assert code == 1
    said = finding(document, "wrong-service-answers")
    assert "python3" in said["summary"]
    owner = next(c for c in document["checks"] if c["id"] == "owner")
    assert owner["status"] == "failed"


def test_an_address_that_the_machine_does_not_have(machine: Machine) -> None:
    machine.write(OVERRIDE, '[Service]\nEnvironment="OLLAMA_HOST=172.31.255.1:11434"\n')
    machine.sh("systemctl daemon-reload && systemctl restart ollama")
    machine.sh("timeout 10 sh -c 'until journalctl -u ollama | grep -q \"cannot assign\"; do sleep 0.1; done'")
    code, document = machine.check()
    assert (code, causes(document)) == (1, {"bind-before-docker0": "error"})


def test_ufw_drops(machine: Machine) -> None:
    machine.stackctl("host-setup", "systemd", "--apply", "--yes")
    machine.sh("ufw allow 22/tcp && ufw --force enable")
    machine.settle()
    assert reaches(machine) == "timeout"
    gateway = machine.sh("ip route show default").stdout.split()[2]
    code, document = machine.check("--from", gateway)
    assert code == 1
    said = next(f for f in document["findings"] if f["severity"] == "error")
    assert said["cause"] in ("lan-server-firewall", "host-firewall-drops-bridge")
    command = said["remedy"]["commands"][0]
    assert command.startswith("sudo stackctl host-setup ufw --from ")
    machine.stackctl(*command.split()[2:], "--yes")
    assert reaches(machine) == "open"
    code, document = machine.check("--from", gateway)
    assert (code, causes(document)) == (0, {})
    machine.stackctl("host-setup", "ufw", "--undo", "--yes")
    assert reaches(machine) == "timeout"
    assert "11434" not in machine.sh("ufw status").stdout


def test_iptables_by_a_unit_that_comes_back_at_boot(machine: Machine) -> None:
    machine.stackctl("host-setup", "systemd", "--apply", "--yes")
    machine.stackctl("host-setup", "iptables", "--from", "192.0.2.7", "--apply", "--yes")
    machine.settle()
    assert reaches(machine) == "EHOSTUNREACH"
    machine.reboot()
    machine.address = machine.sh("hostname -I").stdout.split()[0]
    assert reaches(machine) == "EHOSTUNREACH"
    refused = machine.stackctl(
        "host-setup", "nftables", "--project", "other", "--from", "192.0.2.8", "--apply", "--yes", check=False
    )
    assert refused.returncode == 1
    assert "srv" in refused.stderr
    machine.stackctl("host-setup", "iptables", "--undo", "--yes")
    assert reaches(machine) == "open"


def test_two_servers_on_one_machine(machine: Machine) -> None:
    machine.sh("systemd-run --unit=second -E HOME=/root -E OLLAMA_HOST=127.0.0.1:11435 ollama serve")
    machine.sh("timeout 10 sh -c 'until ss -Hltn sport = :11435 | grep -q .; do sleep 0.1; done'")
    _code, document = machine.check()
    assert causes(document)["different-instance-or-store"] == "warning"


def test_updated_but_not_restarted(machine: Machine) -> None:
    machine.write("/usr/local/sbin/ollama", "#!/bin/sh\necho 'Warning: client version is 9.9.9'\n")
    machine.sh("chmod +x /usr/local/sbin/ollama")
    _code, document = machine.check()
    assert causes(document)["old-version-still-runs"] == "warning"


def test_a_user_sees_less_and_is_told_so(machine: Machine) -> None:
    done = machine.sh(
        "cd /srv && setpriv --reuid=ollama --regid=ollama --clear-groups "
        "env HOME=/tmp " + machine.command("host-check", "--json"),
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert '"root": false' in done.stdout
    assert "host-ollama-loopback-only" in done.stdout
    done = machine.sh(
        "cd /srv && setpriv --reuid=ollama --regid=ollama --clear-groups "
        "env HOME=/tmp " + machine.command("host-setup", "systemd", "--apply", "--yes"),
        check=False,
    )
    assert done.returncode == 2
    assert "root" in done.stderr


def test_rules_that_another_chain_overrules_are_not_left_behind(machine: Machine) -> None:
    machine.stackctl("host-setup", "systemd", "--apply", "--yes")
    machine.write(
        "/root/own.nft",
        "table inet filter {\n chain input {\n  type filter hook input priority filter; policy drop;\n"
        "  ct state established,related accept\n  iif lo accept\n }\n}\n",
    )
    machine.sh("nft -f /root/own.nft")
    machine.settle()
    before = machine.sh("nft list ruleset").stdout
    gateway = machine.sh("ip route show default").stdout.split()[2]
    options = ("host-setup", "nftables", "--from", gateway, "--apply", "--yes")
    done = machine.stackctl(*options, check=False)
    assert done.returncode == 1
    assert "--nft-chain 'inet filter input'" in done.stderr
    assert machine.sh("nft list ruleset").stdout == before
    assert reaches(machine) == "timeout"
    machine.stackctl(*options, "--nft-chain", "inet filter input")
    assert reaches(machine) == "open"
    # Nobody said who is meant: the rules themselves say whom they let in.
    machine.sh("rm -r /var/lib/stackctl")
    code, document = machine.check()
    assert (code, causes(document)) == (0, {})
    firewall = next(c for c in document["checks"] if c["id"] == "firewall")
    assert firewall["observed"]["admitted"] == [f"{gateway}/32"]


def test_ufw_that_is_off_is_said_to_be_off(machine: Machine) -> None:
    done = machine.stackctl("host-setup", "ufw", "--from", "192.0.2.4", "--apply", "--yes")
    assert "ufw is inactive" in done.stderr
