"""host-setup and host-check on a whole machine: systemd, a service as Ollama's installer leaves it, real firewalls."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.host.lab import need, run, wait_for
from tests.host.machines import Machine

DROP_IN = "/etc/systemd/system/ollama.service.d/stackctl.conf"
pytestmark = pytest.mark.engine


def reaches(machine: Machine, port: int = 11434) -> str:
    """From the outside: ``open``, ``timeout`` or the name of the errno."""
    script = (
        "import socket,sys,errno\n"
        "try:\n socket.create_connection((sys.argv[1],int(sys.argv[2])),4).close();print('open')\n"
        "except TimeoutError: print('timeout')\n"
        "except OSError as e: print(errno.errorcode.get(e.errno))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, machine.address, str(port)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def causes(document: dict[str, Any]) -> dict[str, str]:
    """Each cause with its worst severity: findings come the worst first."""
    found: dict[str, str] = {}
    for one in document["findings"]:
        found.setdefault(one["cause"], one["severity"])
    return found


def test_from_a_fresh_install_to_a_server_that_the_stack_alone_reaches(machine: Machine) -> None:
    code, document = machine.check()
    assert (code, causes(document)) == (1, {"host-ollama-loopback-only": "error"})
    assert reaches(machine) == "ECONNREFUSED"

    machine.stackctl("host-setup", "systemd", "--set", "OLLAMA_KEEP_ALIVE=24h", "--apply", "--yes")
    machine.settle()
    assert reaches(machine) == "open"
    code, document = machine.check()
    assert (code, causes(document)) == (0, {"port-open-to-everybody": "warning"})
    environment = next(c for c in document["checks"] if c["id"] == "environment")["observed"]["environment"]
    assert environment == {"OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_KEEP_ALIVE": "24h"}
    began = machine.sh("systemctl show -p InvocationID ollama").stdout
    again = machine.stackctl("host-setup", "systemd", "--set", "OLLAMA_KEEP_ALIVE=24h", "--apply", "--yes")
    assert "in force already" in again.stdout
    assert machine.sh("systemctl show -p InvocationID ollama").stdout == began, "a second apply must restart nothing"

    gateway = machine.sh("ip route show default").stdout.split()[2]
    machine.stackctl("host-setup", "nftables", "--from", gateway, "--apply", "--yes")
    assert reaches(machine) == "open"
    for asked in (("--from", gateway), ()):
        code, document = machine.check(*asked)
        assert (code, causes(document)) == (0, {})
    machine.stackctl("host-setup", "nftables", "--from", "192.0.2.0/24", "--apply", "--yes")
    assert reaches(machine) == "EHOSTUNREACH"
    code, document = machine.check("--from", gateway)
    assert code == 1
    assert causes(document) == {"firewall-rejects-ehostunreach": "error"}
    machine.stackctl("host-setup", "nftables", "--from", gateway, "--apply", "--yes")

    # Debian's own service empties the ruleset when it starts.
    machine.sh("systemctl restart nftables")
    assert "stackctl_srv" in machine.sh("nft list ruleset").stdout

    # An update of Ollama writes its unit anew.
    machine.sh("cp /etc/systemd/system/ollama.service /tmp/u && cp /tmp/u /etc/systemd/system/ollama.service")
    machine.reboot()
    assert reaches(machine) == "open", "after a boot all must be as before"
    code, document = machine.check("--from", gateway)
    assert (code, causes(document)) == (0, {})
    assert "stackctl_srv" in machine.sh("nft list ruleset").stdout

    machine.stackctl("host-setup", "nftables", "--undo", "--yes")
    machine.stackctl("host-setup", "systemd", "--undo", "--yes")
    machine.settle()
    assert machine.sh("nft list ruleset").stdout.strip() == ""
    assert machine.sh(f"ls {DROP_IN} /etc/stackctl/*.nft /var/lib/stackctl/host-setup/*.json", check=False).stdout == ""
    assert machine.listens() == {"127.0.0.1"}


def test_what_was_there_comes_back(machine: Machine) -> None:
    theirs = '[Service]\nEnvironment="OLLAMA_HOST=127.0.0.1:11434" "OLLAMA_DEBUG=1"\n'
    machine.write(DROP_IN, theirs)
    machine.sh(f"chmod 0640 {DROP_IN}")
    machine.stackctl("host-setup", "systemd", "--apply", "--yes")
    assert "0.0.0.0" in machine.sh(f"cat {DROP_IN}").stdout
    edited = machine.sh(f"cat {DROP_IN}").stdout + 'Environment="OLLAMA_ORIGINS=*"\n'
    machine.write(DROP_IN, edited)
    undone = machine.stackctl("host-setup", "systemd", "--undo", "--yes")
    assert machine.sh(f"cat {DROP_IN}").stdout == theirs
    assert machine.sh(f"stat -c %a {DROP_IN}").stdout.strip() == "640"
    kept = [w for w in undone.stdout.split() if w.startswith("/var/lib/stackctl/host-setup/edited/")]
    assert len(kept) == 1
    assert machine.sh(f"cat {kept[0]}").stdout == edited
    nothing = machine.stackctl("host-setup", "systemd", "--undo", "--yes")
    assert "nothing to undo" in nothing.stdout


def test_without_confirmation_nothing_is_touched(machine: Machine) -> None:
    done = machine.stackctl("host-setup", "systemd", "--apply", check=False)
    assert done.returncode == 2
    assert "nothing was touched" in done.stderr
    assert machine.sh(f"test -e {DROP_IN}", check=False).returncode == 1


def test_a_set_up_that_fails_leaves_the_machine_as_it_was(machine: Machine) -> None:
    """nginx refuses the certificate after the files are written: all of it is taken back, and nginx serves on."""
    machine.write("/etc/nginx/conf.d/theirs.conf", "server { listen 8088; return 200 'theirs'; }\n")
    machine.sh("systemctl start nginx && mkdir -p /etc/stackctl && echo token >/etc/stackctl/srv.token")
    machine.sh("echo rubbish >/etc/stackctl/x.test.crt && echo rubbish >/etc/stackctl/x.test.key")
    before = machine.sh("find /etc/nginx /etc/systemd/system /etc/stackctl | sort").stdout
    done = machine.stackctl("host-setup", "nginx", "--server-name", "x.test", "--apply", "--yes", check=False)
    assert done.returncode == 1
    assert "x.test.crt" in done.stderr
    assert machine.sh("find /etc/nginx /etc/systemd/system /etc/stackctl | sort").stdout == before
    assert machine.sh("curl -s 127.0.0.1:8088").stdout == "theirs"
    assert machine.sh("ls /var/lib/stackctl", check=False).stdout == ""
    missing = machine.stackctl("host-setup", "nginx", "--server-name", "y.test", "--apply", "--yes", check=False)
    assert missing.returncode == 1
    assert "openssl req" in missing.stderr


def test_nginx_with_a_token_on_a_machine_and_its_undo(machine: Machine) -> None:
    machine.sh(
        "mkdir -p /etc/stackctl && printf s3cr3t-token >/etc/stackctl/srv.token && "
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x.test -addext subjectAltName=DNS:x.test "
        "-keyout /etc/stackctl/x.test.key -out /etc/stackctl/x.test.crt"
    )
    machine.stackctl("host-setup", "nginx", "--server-name", "x.test", "--apply", "--yes")
    ask = "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/stackctl/x.test.crt --resolve x.test:443:127.0.0.1"
    wait_for("nginx", lambda: machine.sh(f"{ask} https://x.test/", check=False).stdout == "401")
    assert machine.sh(f"{ask} -H 'Authorization: Bearer s3cr3t-token' https://x.test/").stdout == "200"
    assert machine.sh(f"{ask} -H 'Authorization: Bearer S3cr3t-token' https://x.test/").stdout == "401"
    code, document = machine.check()
    assert code == 0, "loopback is right behind a proxy"
    assert causes(document) == {"host-ollama-loopback-only": "info"}
    assert "s3cr3t" not in machine.sh("cat /var/lib/stackctl/host-setup/* /etc/nginx/conf.d/*").stdout
    machine.stackctl("host-setup", "nginx", "--undo", "--yes")
    assert machine.sh("ls /etc/nginx/conf.d; ls /etc/nginx/*.token", check=False).stdout == ""
    assert "000" in machine.sh(f"{ask} https://x.test/", check=False).stdout


# As Caddy's package has it, but for the descriptions.
CADDY_UNIT = """[Unit]
After=network.target network-online.target

[Service]
Type=notify
User=caddy
Group=caddy
ExecStart=/usr/bin/caddy run --environ --config /etc/caddy/Caddyfile
ExecReload=/usr/bin/caddy reload --config /etc/caddy/Caddyfile --force
PrivateTmp=true
ProtectSystem=full
AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE

[Install]
WantedBy=multi-user.target
"""


def test_caddy_with_a_token_runs_as_its_own_user_and_can_be_undone(machine: Machine) -> None:
    need("caddy")
    run(["docker", "cp", shutil.which("caddy") or "", f"{machine.name}:/usr/bin/caddy"])
    machine.sh("useradd --system --user-group --create-home --home-dir /var/lib/caddy --shell /bin/false caddy")
    machine.write("/etc/systemd/system/caddy.service", CADDY_UNIT)
    theirs = '{\n\tauto_https disable_redirects\n}\n\n:8088 {\n\trespond "theirs"\n}\n'
    machine.write("/etc/caddy/Caddyfile", theirs)
    machine.sh("systemctl daemon-reload && systemctl start caddy")
    machine.sh("mkdir -p -m 700 /etc/stackctl && umask 077 && printf 's3cr3t-token\\n' >/etc/stackctl/srv.token")
    machine.stackctl("host-setup", "caddy", "--server-name", "gpu.lan", "--port", "8443", "--apply", "--yes")
    authority = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"
    ask = f"curl -s -o /dev/null -w '%{{http_code}}' --cacert {authority} --resolve gpu.lan:8443:127.0.0.1"
    wait_for("Caddy", lambda: machine.sh(f"{ask} https://gpu.lan:8443/", check=False).stdout == "401")
    assert machine.sh(f"{ask} -H 'Authorization: Bearer s3cr3t-token' https://gpu.lan:8443/api/version").stdout == "200"
    assert machine.sh(f"{ask} -H 'Authorization: Bearer s3cr3t-Token' https://gpu.lan:8443/").stdout == "401"
    assert machine.sh("curl -s 127.0.0.1:8088").stdout == "theirs"
    assert "s3cr3t" not in machine.sh("journalctl; curl -s localhost:2019/config/; cat /etc/caddy/*").stdout
    code, document = machine.check()
    assert (code, causes(document)) == (0, {"host-ollama-loopback-only": "info"})
    machine.stackctl("host-setup", "caddy", "--undo", "--yes")
    assert machine.sh("cat /etc/caddy/Caddyfile").stdout.strip() == theirs.strip()
    assert machine.sh("ls /etc/caddy").stdout.split() == ["Caddyfile"]
    assert machine.sh("stat -c '%U %G %a' /etc/stackctl/srv.token").stdout.split() == ["root", "root", "600"]
    wait_for("Caddy to let go", lambda: "000" in machine.sh(f"{ask} https://gpu.lan:8443/", check=False).stdout)
    assert machine.sh("curl -s 127.0.0.1:8088").stdout == "theirs"
