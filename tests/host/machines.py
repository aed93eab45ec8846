"""A machine with systemd as its first process and stackctl on it, in a container of the real engine."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.host.lab import run, wait_for

ROOT = Path(__file__).parents[2]
IMAGE = "stackctl.local/test-machine:dev"
BASE = "stackctl.local/python:base"


def build_image() -> str:
    """The image, from the layers of the last time where nothing changed."""
    if shutil.which("docker") is None:
        pytest.fail("docker is missing: run `make setup`")
    if subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, check=False).returncode:
        pytest.fail(f"{BASE} is missing: run scripts/base-images")
    double = ROOT / "compose" / "images" / "ollama-double"
    done = subprocess.run(
        [
            "docker",
            "build",
            "-q",
            "-t",
            IMAGE,
            "--build-context",
            f"double={double}",
            str(Path(__file__).parent / "machine"),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"the image of the test machine cannot be built:\n{done.stderr[-3000:]}")
    return IMAGE


@dataclass
class Machine:
    """A running machine; ``sh`` runs there as root."""

    name: str
    address: str

    def sh(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(["docker", "exec", self.name, "sh", "-c", script], check=check)

    def stackctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """stackctl from the checkout, in a directory where no stack is."""
        return self.sh(f"cd /srv && {self.command(*arguments)}", check=check)

    @staticmethod
    def command(*arguments: str) -> str:
        """The shell's words for stackctl with these arguments."""
        return f"{PYTHON} -m stackctl {shlex.join(arguments)}"

    def check(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """``host-check --json``: its code and its document."""
        done = self.stackctl("host-check", "--json", *arguments, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def write(self, path: str, text: str) -> None:
        run(["docker", "exec", "-i", self.name, "sh", "-c", f"mkdir -p $(dirname {path}) && cat >{path}"], input=text)

    def listens(self) -> set[str]:
        """Addresses on which 11434 is listened on."""
        lines = self.sh("ss -Hltn 'sport = :11434'").stdout.splitlines()
        return {line.split()[3].rpartition(":")[0] for line in lines}

    def settle(self, what: str = "ollama") -> None:
        """Wait until the double answers."""
        wait_for(f"{what} on {self.name}", lambda: bool(self.listens()))

    def reboot(self) -> None:
        run(["docker", "restart", "-t", "20", self.name])
        self.address = _address(self.name)  # another container may have taken the old one
        self.settle()


def _python() -> str:
    packages = [p for p in site.getsitepackages() if p.endswith("site-packages")]
    # The machine's own interpreter where it is of our version, else ours, mounted: compiled packages want theirs.
    ours = "{}.{}".format(*sys.version_info[:2])
    own = f'python3 -c \'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "{ours}")\''
    which = f"$({own} && echo python3 || echo {shlex.quote(sys.base_prefix)}/bin/python3)"
    return f"env PYTHONPATH={shlex.quote(os.pathsep.join([str(ROOT), *packages]))} PYTHONDONTWRITEBYTECODE=1 {which}"


PYTHON = _python()


@contextmanager
def make_machine(image: str) -> Iterator[Machine]:
    """A fresh machine, removed whatever happens."""
    name = f"sct-host-machine-{secrets.token_hex(3)}"
    mounts = {str(ROOT), sys.prefix, sys.base_prefix} - {"/usr"}
    argv = [
        "docker",
        "run",
        "--detach",
        "--name",
        name,
        "--hostname",
        "gpu-box",
        "--label",
        "io.stackctl.test=1",
        # What systemd needs to be the first process, and no more: the machine's settings stay read-only.
        "--cap-add",
        "SYS_ADMIN",
        "--cap-add",
        "NET_ADMIN",
        "--cap-add",
        "SYS_PTRACE",
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "apparmor=unconfined",
        "--tmpfs",
        "/run",
        "--tmpfs",
        "/run/lock",
        *_cgroups(),
    ]
    for path in sorted(mounts):
        argv += ["--volume", f"{path}:{path}:ro"]
    run([*argv, image])
    try:
        machine = Machine(name, _address(name))
        wait_for(
            f"systemd on {name}",
            lambda: machine.sh("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"),
            seconds=40,
        )
        machine.settle()
        yield machine
    finally:
        run(["docker", "rm", "--force", "--volumes", name], check=False)


def _cgroups() -> list[str]:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return ["--cgroupns", "private"]
    return ["--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]


def _address(name: str) -> str:
    return run(["docker", "inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", name]).stdout.strip()
