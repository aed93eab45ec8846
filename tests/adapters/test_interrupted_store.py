"""An interrupt in the midst of a backup or a restore: gone within two seconds, its container too, the store whole."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.cli import ROOT
from tests.support.project import BUSYBOX, docker

pytestmark = pytest.mark.engine

HOLDER = """
import sys, time
from stackctl.adapters.docker import DockerEngine
from stackctl.adapters.modelstore import ModelStore
from stackctl.ollama.backup.location import StoreLocation

place = StoreLocation(("--volume", sys.argv[1] + ":/m"), "/m", sys.argv[2])
store = ModelStore(DockerEngine().client_argv(), place, same_machine=True)
with getattr(store, sys.argv[3])():
    print("open", flush=True)
    time.sleep(60)
"""
STUBBORN = """
from stackctl.adapters import process
process.run(["sh", "-c", "trap '' TERM; echo begun >&2; sleep 60"], on_line=lambda _line: print("open", flush=True))
"""


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"sct-interrupted-{secrets.token_hex(4)}"
    docker("volume", "create", name)
    script = "mkdir -p /m/manifests/x /m/blobs; echo a >/m/manifests/x/y; dd if=/dev/zero of=/m/blobs/b bs=1M count=4"
    docker("run", "--rm", "-v", f"{name}:/m", "--entrypoint", "sh", BUSYBOX, "-c", script)
    yield name
    docker("volume", "rm", "--force", name)


def seconds_to_end(script: str, *arguments: str) -> float:
    """How long the program takes to be gone, once it has said that it is open and is interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n", process.communicate(timeout=5)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, err = process.communicate(timeout=30)
        assert "KeyboardInterrupt" in err
        return time.monotonic() - begun
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("way", ["reading", "writing"])
def test_the_helper_at_the_store_goes_with_its_caller(way: str, volume: str) -> None:
    took = seconds_to_end(HOLDER, volume, BUSYBOX, way)
    assert docker("ps", "--all", "--quiet", "--filter", f"volume={volume}") == ""
    assert took < 2.0
    left = docker("run", "--rm", "-v", f"{volume}:/m", "--entrypoint", "sh", BUSYBOX, "-c", "cd /m; find . -type f; ls")
    assert "./manifests/x/y" in left
    assert "./blobs/b" in left


def test_a_program_that_does_not_heed_a_signal() -> None:
    """As a command of `host-setup --apply` may be."""
    assert seconds_to_end(STUBBORN) < 2.0
