"""Containers of our own may do what their task needs, as the engine itself tells of them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stackctl.adapters.docker import DockerEngine
from stackctl.adapters.modelstore import ModelStore
from stackctl.ollama.backup.location import StoreLocation
from stackctl.waiting import until
from tests.support.project import BUSYBOX, docker

pytestmark = pytest.mark.engine


def inspected(*filters: str) -> dict[str, Any]:
    """The one running container that these filters leave."""

    def found() -> str:
        return docker("ps", "--quiet", *(word for one in filters for word in ("--filter", one))).strip()

    assert until(found, within=20, every=0.05)
    container: dict[str, Any] = json.loads(docker("inspect", found()))[0]
    return container


def is_confined(container: dict[str, Any], capabilities: set[str]) -> None:
    host = container["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert {c.removeprefix("CAP_") for c in host["CapAdd"] or []} == capabilities
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert 0 < host["PidsLimit"] <= 128
    assert 0 < host["Memory"] <= 512 << 20
    assert host["NetworkMode"] == "none"


def test_a_probe() -> None:
    mark = f"io.stackctl.test={secrets.token_hex(4)}"
    name, _, value = mark.partition("=")
    script = (
        "cat >/dev/null; grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status; echo x >/tmp/x && echo wrote; echo x >/x"
    )
    with ThreadPoolExecutor(1) as pool:
        argv = ["-c", f"sleep 3; {script}"]
        done = pool.submit(DockerEngine().run, BUSYBOX, argv, entrypoint="sh", labels={name: value}, user="0:0")
        is_confined(inspected(f"label={mark}"), set())
        text = done.result().stdout.decode()
    assert "CapEff:\t0000000000000000" in text
    assert "CapBnd:\t0000000000000000" in text
    assert "NoNewPrivs:\t1" in text
    assert "wrote" in text
    assert b"Read-only file system" in done.result().stderr


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"sct-confined-{secrets.token_hex(4)}"
    docker("volume", "create", name)
    # More than fits into the pipe: the helper is there until it has been read.
    script = (
        "mkdir -p /m/manifests/x /m/blobs; echo a >/m/manifests/x/y; dd if=/dev/zero of=/m/blobs/b bs=1M count=4;"
        "chmod 700 /m/manifests; chown -R 7:8 /m"
    )
    docker("run", "--rm", "-v", f"{name}:/m", "--entrypoint", "sh", BUSYBOX, "-c", script)
    yield name
    docker("volume", "rm", "--force", name)


def test_the_helper_at_the_store(volume: str) -> None:
    store = ModelStore(
        [*DockerEngine().client_argv()], StoreLocation(("--volume", f"{volume}:/m"), "/m", BUSYBOX), same_machine=True
    )
    packed = bytearray()
    with store.reading() as read_into:
        is_confined(inspected("label=io.stackctl.role=volume-helper", f"volume={volume}"), {"DAC_OVERRIDE"})
        part = memoryview(bytearray(65536))
        while count := read_into(part):
            packed += part[:count]
    assert b"manifests/x/y" in packed
