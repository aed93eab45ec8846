"""GPUs on the real engine: a CDI device reaches the container; what the engine cannot give is refused untouched."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.project import VOLUMES, Project, backend, docker, ollama

SPECS = Path("/etc/cdi")


@pytest.fixture
def device() -> Iterator[str]:
    """A CDI device of our own, of a kind that no automatic choice takes: its specification, taken away afterwards."""
    kind, made = f"sct-{secrets.token_hex(3)}.test/accelerator", not SPECS.exists()
    SPECS.mkdir(exist_ok=True)
    file = SPECS / f"{kind.replace('/', '-')}.json"
    edits = {"env": [f"SCT_ACCELERATOR={kind}"], "deviceNodes": [{"path": "/dev/sct-null", "hostPath": "/dev/null"}]}
    file.write_text(
        json.dumps({"cdiVersion": "0.5.0", "kind": kind, "devices": [{"name": "one", "containerEdits": edits}]})
    )
    try:
        end = time.monotonic() + 20
        while f"{kind}=one" not in docker("info", "--format", "{{json .DiscoveredDevices}}"):
            assert time.monotonic() < end, "the engine does not list the CDI device"
            time.sleep(0.1)
        yield f"{kind}=one"
    finally:
        file.unlink()
        if made and not any(SPECS.iterdir()):
            SPECS.rmdir()


def test_a_cdi_device_reaches_the_container(stack: Project, device: str) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config(local={"gpu": {"driver": "cdi", "device_ids": [device]}})
    merged = yaml.safe_load(stack.stackctl("render", "local", "--merged").ok().out)
    wanted = merged["services"]["ollama"]["deploy"]["resources"]["reservations"]["devices"]
    assert wanted == [{"capabilities": ["gpu"], "driver": "cdi", "device_ids": [device]}]
    stack.stackctl("up", "local").ok()
    # The engine edits the container's own process; what `exec` starts in it has the image's variables.
    variables = stack.exec("ollama", "cat", "/proc/1/environ").split("\0")
    assert f"SCT_ACCELERATOR={device.removesuffix('=one')}" in variables
    assert stack.exec("ollama", "stat", "-c", "%F", "/dev/sct-null").strip() == "character special file"
    marks = stack.marks()
    assert "nothing to do" in stack.stackctl("up").ok().out
    assert stack.marks() == marks


@pytest.mark.parametrize(
    ("gpu", "says", "mends"),
    [
        ("nvidia", "gpu: nvidia is asked for, and this engine has no NVIDIA runtime", "nvidia-ctk runtime configure"),
        ({"driver": "nvidia", "count": 2}, "has no NVIDIA runtime", "nvidia-ctk runtime configure"),
        ({"driver": "cdi", "device_ids": ["sct.test/none=1"]}, "the CDI device sct.test/none=1", "nvidia-ctk cdi"),
        ("amd", "gpu: amd is asked for, and this engine's host has no /dev/kfd", "/dev/kfd"),
    ],
    ids=str,
)
def test_a_gpu_that_the_engine_cannot_give(gpu: object, says: str, mends: str, stack: Project) -> None:
    if gpu == "amd" and Path("/dev/kfd").exists():
        pytest.skip("this machine has one")
    if "nvidia" in str(gpu) and "nvidia" in docker("info", "--format", "{{json .Runtimes}}"):
        pytest.skip("this machine has one")
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config(local={"gpu": gpu})
    refused = stack.stackctl("up", "local").ended(1)
    assert says in refused.err
    assert mends in refused.err
    assert "stackctl.yaml:" in refused.err
    assert stack.containers() == {}
    assert not (stack.directory / ".stackctl").exists()


def test_auto_falls_back_to_the_processor(stack: Project) -> None:
    """One plain warning, and the project's own GPU setting left out, for no engine starts it without one."""
    info = docker("info", "--format", "{{json .Runtimes}} {{json .DiscoveredDevices}}")
    if "nvidia" in info or "/gpu=" in info or Path("/dev/kfd").exists():
        pytest.skip("this engine has a GPU to give")
    reserved = {"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia", "capabilities": ["gpu"]}]}}}}
    stack.compose({"ollama": ollama(**reserved), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config(local={"gpu": "auto"})
    up = stack.stackctl("up", "local").ok()
    assert up.err.count("\n! ") + up.err.startswith("! ") == 1
    assert "the engine has no GPU to give: ollama runs on the CPU" in up.err
    assert stack.running() == {"backend", "ollama"}
