"""Where Docker or Compose cannot be used: exit 5, what is wrong, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support.cli import Ran, start_process
from tests.support.project import Project, backend, docker

WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
VERBS = (["up"], ["status"], ["render", "--merged"], ["switch", "local"], ["ps"], ["down"], ["detach"])


@pytest.fixture
def plain(stack: Project) -> Project:
    stack.compose({"backend": backend()})
    stack.config()
    return stack


def unusable(ran: Ran, says: str, mends: str) -> None:
    ran.ended(5)
    assert says in ran.err
    assert mends in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_no_docker_at_all(verb: list[str], plain: Project, tmp_path: Path) -> None:
    ran = plain.stackctl(*verb, env={"PATH": str(tmp_path)})
    unusable(ran, "the command `docker` is not installed", "install Docker Engine with Compose")
    assert sorted(p.name for p in plain.directory.iterdir()) == ["compose.yaml", "stackctl.yaml"]


@pytest.mark.parametrize("verb", [["up"], ["status"], ["switch", "local"], ["ps"], ["detach"]], ids=" ".join)
@pytest.mark.parametrize("kind", ["a socket that nobody listens on", "no socket", "a port that nobody listens on"])
def test_nobody_answers(verb: list[str], kind: str, plain: Project, tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    if kind.startswith("a socket"):
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(path))
        dead.close()
    host = "tcp://127.0.0.1:1" if "port" in kind else f"unix://{path}"
    unusable(
        plain.process(*verb, env={"DOCKER_HOST": host}), f"no Docker engine answers at {host}", "systemctl start docker"
    )
    assert sorted(p.name for p in plain.directory.iterdir()) == ["compose.yaml", "stackctl.yaml"]


@pytest.mark.parametrize("verb", [["up"], ["status"], ["ps"]], ids=" ".join)
def test_no_permission(verb: list[str], plain: Project, tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        os.chown(path, 65534, 65534)
        path.chmod(0o600)
        ran = plain.process(*verb, env={"DOCKER_HOST": f"unix://{path}"}, prefix=WITHOUT_CAPABILITIES)
    unusable(ran, "no permission on the Docker socket", "usermod -aG docker")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_does_not_wait_for_an_engine_that_hangs(
    number: signal.Signals, plain: Project, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
        listener.listen()
        listener.settimeout(60)
        process = start_process("up", cwd=plain.directory, env={"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})
        try:
            hanging, _ = listener.accept()
            with hanging:
                assert hanging.recv(4)
                process.send_signal(number)
                out, err = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == 130
    assert (out, err) == ("", "error: interrupted\n")
    assert sorted(p.name for p in plain.directory.iterdir()) == ["compose.yaml", "stackctl.yaml"]


@pytest.mark.parametrize("verb", [["up"], ["ps"], ["status"]], ids=lambda verb: verb[0])
def test_an_engine_that_hangs_is_told_of(verb: list[str], plain: Project, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
        listener.listen()
        begun = time.monotonic()
        ran = plain.process(*verb, env={"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})
        took = time.monotonic() - begun
    unusable(ran, f"the Docker engine at {tmp_path}/docker.sock gave no whole answer within 6 s", "restart docker")
    assert took < 15  # 10 on a machine that does nothing else


def test_no_compose(plain: Project, tmp_path: Path) -> None:
    """The plugin's directories are laid over with empty ones, for this one process."""
    plugins = docker("info", "--format", "{{range .ClientInfo.Plugins}}{{.Path}} {{end}}").split()
    places = [Path(name) for name in plugins]
    folders = {p.parent for p in places if p.name == "docker-compose"}
    folders |= {p.resolve().parent for p in places if p.name == "docker-compose"}
    assert folders
    cover = "; ".join(f"mount -t tmpfs none {folder}" for folder in folders)
    prefix = ("unshare", "--mount", "sh", "-euc", f'{cover}; exec "$@"', "sh")
    ran = plain.process("up", env={"DOCKER_CONFIG": str(tmp_path)}, prefix=prefix)
    unusable(ran, "Docker has no Compose plugin (version 2.24.4 or later is needed)", "docker-compose-plugin")


@pytest.mark.parametrize(
    ("version", "fits"), [("2.24.3", False), ("v2.20.0-rc.1", False), ("1.29.2", False), ("v2.24.4", True)]
)
def test_a_compose_that_is_too_old(version: str, fits: bool, plain: Project, tmp_path: Path) -> None:
    """A ``docker`` that says it has another Compose, and is the real one in everything else."""
    shim = tmp_path / "bin" / "docker"
    shim.parent.mkdir()
    real = shutil.which("docker")
    shim.write_text(f'#!/bin/sh\ncase "$*" in "compose version --short") echo {version};; *) exec {real} "$@";; esac\n')
    shim.chmod(0o755)
    env = {"PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}"}
    number = version.strip("v").partition("-")[0]
    for verb in (["up", "--dry-run"], ["status"], ["ps"], ["detach"], ["init", "--dry-run"]):
        ran = plain.process(*verb, env=env)
        if fits:
            ran.ok()
        else:
            unusable(ran, f"Docker Compose {number} is too old: 2.24.4 or later is needed", "docker-compose-plugin")


def test_contexts(plain: Project, tmp_path: Path) -> None:
    plain.env["DOCKER_CONFIG"] = str(tmp_path)
    unusable(plain.process("status", "--context", "nowhere"), 'no Docker context "nowhere"', "docker context ls")
    socket_file = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    docker("--config", str(tmp_path), "context", "create", "here", "--docker", f"host={socket_file}")
    plan = plain.process("up", "--dry-run", "--context", "here").ok()
    assert "compose up backend" in plan.out
    assert plain.process("status", "--json", "--context", "here").ok().json["project"] == plain.name
