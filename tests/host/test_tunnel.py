"""The SSH tunnel, as a unit on a machine with systemd and as a service of a Compose project."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.hostsetup import ssh_tunnel
from stackctl.hostsetup.host_plan import HostPlan, Tunnel
from tests.host.lab import need, run, wait_for
from tests.host.machines import BASE, Machine, make_machine

pytestmark = pytest.mark.engine


@pytest.fixture
def far(machine_image: str) -> Iterator[Machine]:
    """The server: Ollama on loopback, and an account for the tunnel."""
    with make_machine(machine_image) as made:
        made.sh(
            "useradd --create-home --shell /bin/sh ollama-tunnel && mkdir -p -m 700 ~ollama-tunnel/.ssh; "
            "systemctl start ssh"
        )
        yield made


def keys(directory: Path, far: Machine, line: str) -> None:
    """A key pair below ``directory``, let in on the server by ``line``, and the server's host key."""
    need("ssh-keygen", "ssh-keyscan")
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "id_ed25519")])
    far.write(
        "/home/ollama-tunnel/.ssh/authorized_keys",
        line.replace("PUBLIC-KEY", (directory / "id_ed25519.pub").read_text().strip()),
    )
    far.sh("chown -R ollama-tunnel: ~ollama-tunnel/.ssh && chmod 600 ~ollama-tunnel/.ssh/authorized_keys")
    known = ""
    for _ in range(20):
        known = run(["ssh-keyscan", "-t", "ed25519", far.address], check=False).stdout
        if known:
            break
    (directory / "known_hosts").write_text(known)


def test_as_a_unit(machine: Machine, far: Machine, tmp_path: Path) -> None:
    plan = HostPlan("srv", tunnel=Tunnel(far.address))
    keys(tmp_path, far, ssh_tunnel.authorized_key(plan))
    assert far.listens() == {"127.0.0.1"}
    for name in ("id_ed25519", "known_hosts"):
        machine.write(f"/etc/stackctl/tunnel/{name}", (tmp_path / name).read_text())
    machine.sh("chmod 600 /etc/stackctl/tunnel/id_ed25519; systemctl stop ollama")
    options = ("--ssh", far.address, "--bind", machine.address)
    machine.stackctl("host-setup", "ssh-tunnel", *options, "--apply", "--yes")
    ask = f"curl -s -m 5 -H 'Host: host.docker.internal:11434' http://{machine.address}:11434/"
    wait_for("the tunnel", lambda: machine.sh(ask, check=False).stdout == "Ollama is running")
    user = machine.sh("ps -o user:32= -C ssh").stdout.split()
    assert user == ["stackctl-tunnel"]

    # The server's end is restarted: the tunnel comes back by itself.
    far.sh("systemctl restart ssh; pkill -u ollama-tunnel || true")
    wait_for("the tunnel again", lambda: machine.sh(ask, check=False).stdout == "Ollama is running", seconds=20)

    # The key is good for the one forward and nothing else.
    here = "/etc/stackctl/tunnel"
    trust = f"-o BatchMode=yes -o UserKnownHostsFile={here}/known_hosts"
    alone = f"{trust} -i {here}/id_ed25519 ollama-tunnel@{far.address}"
    assert machine.sh(f"ssh {alone} id", check=False).returncode != 0
    machine.sh(f"ssh -f -N {alone} -L 127.0.0.1:2222:127.0.0.1:22", check=False)
    assert machine.sh("curl -s -m 3 telnet://127.0.0.1:2222 </dev/null", check=False).stdout == ""

    machine.stackctl("host-setup", "ssh-tunnel", "--undo", "--yes")
    assert machine.sh(ask, check=False).returncode != 0
    assert machine.sh("ls /etc/systemd/system | grep tunnel", check=False).stdout == ""


def compose(directory: Path, project: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    files = ["--file", "compose.yaml", "--file", ssh_tunnel.COMPOSE_FILE]
    argv = ["docker", "compose", "--project-name", project, *files, *arguments]
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    if check and done.returncode:
        pytest.fail(f"{' '.join(argv)}:\n{done.stdout}{done.stderr}")
    return done


def test_as_a_compose_service(far: Machine, tmp_path: Path) -> None:
    project = f"sct-tunnel-{secrets.token_hex(3)}"
    (tmp_path / "keys").mkdir()
    # Docker keeps its networks apart, so the server is put into the stack's, under a name of its own.
    run(["docker", "network", "create", "--label", "io.stackctl.test=1", project])
    run(["docker", "network", "connect", "--alias", "gpu.test", project, far.name])
    tunnel = Tunnel(
        "gpu.test",
        identity=str(tmp_path / "keys" / "id_ed25519"),
        known_hosts=str(tmp_path / "keys" / "known_hosts"),
        networks=("back",),
        base_image=BASE,
    )
    plan = HostPlan(project, tunnel=tunnel)
    keys(tmp_path / "keys", far, ssh_tunnel.authorized_key(plan))
    setup = ssh_tunnel.render_compose(plan)
    (tmp_path / ssh_tunnel.COMPOSE_FILE).write_text(setup.files[0].text)
    (tmp_path / "compose.yaml").write_text(
        json.dumps(
            {
                "services": {
                    "app": {
                        "image": BASE,
                        "command": ["sleep", "infinity"],
                        "init": True,
                        "networks": ["back"],
                        "labels": {"io.stackctl.test": "1"},
                    }
                },
                "networks": {"back": {"name": project, "external": True}},
            }
        )
    )
    known = tmp_path / "keys" / "known_hosts"
    known.write_text(known.read_text().replace(far.address, "gpu.test"))
    ask = (
        "import urllib.request,urllib.error,sys\n"
        "try: print(urllib.request.urlopen('http://'+sys.argv[1]+':11434/',timeout=5).read().decode())\n"
        "except urllib.error.HTTPError as e: print(e.code)\n"
    )
    try:
        compose(tmp_path, project, "up", "--detach", "--wait", "--build")
        by_alias = compose(tmp_path, project, "exec", "-T", "app", "python3", "-c", ask, ssh_tunnel.ALIAS)
        assert by_alias.stdout.strip() == "Ollama is running"
        by_service = compose(tmp_path, project, "exec", "-T", "app", "python3", "-c", ask, ssh_tunnel.SERVICE)
        assert by_service.stdout.strip() == "403", "a server on loopback refuses the service's own name"
        state = json.loads(
            compose(tmp_path, project, "ps", "--format", "json", ssh_tunnel.SERVICE).stdout.splitlines()[0]
        )
        assert state["Health"] == "healthy"
        inspected = run(["docker", "inspect", state["ID"]]).stdout
        assert "PRIVATE KEY" not in inspected
    finally:
        compose(tmp_path, project, "down", "--volumes", "--rmi", "local", "--timeout", "2", check=False)
        run(["docker", "network", "disconnect", "--force", project, far.name], check=False)
        run(["docker", "network", "rm", project], check=False)
