"""The main job: the same stack on a local Ollama, one on the host, one elsewhere, and back; proved by its answers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support import double
from tests.support.double import Double
from tests.support.netlab import Elsewhere
from tests.support.project import BACKEND, BUSYBOX, MODEL, VOLUMES, Project, backend, docker, ollama

NAME = "gpu-box.sct.test"
MTU = "com.docker.network.driver.mtu"
BESIDE: dict[str, Any] = {"image": BUSYBOX, "command": ["sleep", "600"], "stop_signal": "SIGKILL"}
SLEEP = ("--stop-signal", "SIGKILL", BUSYBOX, "sleep", "600")
HEALTHY = {"ollama": {"condition": "service_healthy"}}
CHECK = {"test": ["CMD", "ollama", "list"], "interval": "1s", "retries": 30}
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "depends_on as a list": ({"depends_on": ["ollama"]}, {}),
    "depends_on as a map, healthy": ({"depends_on": HEALTHY}, {"healthcheck": CHECK}),
    "Ollama behind a profile": ({}, {"profiles": ["ai"]}),
}


def answers(stack: Project, name: str) -> None:
    """The backend's chat is answered by the server of this name, and by no other."""
    said = stack.chat()["text"]
    assert f"This is {name}, a test double" in said


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_local_host_elsewhere_and_back(shape: str, stack: Project, host_double: Double, far: Elsewhere) -> None:
    for_backend, for_ollama = SHAPES[shape]
    stack.compose(
        {"ollama": ollama(**for_ollama), "backend": backend(dns=[far.address], **for_backend)}, volumes=VOLUMES
    )
    stack.config(instances={"box": {"url": f"http://{NAME}:11434", "timeout": "5s"}})
    far.double("far-double", models=[MODEL])
    far.resolver(NAME, far.address)
    before = (stack.directory / "compose.yaml").read_bytes()

    up = stack.stackctl("up", "local").ok()
    assert "✓ verified" in up.out
    answers(stack, "local-double")
    volume = docker("volume", "inspect", f"{stack.name}_models")

    to_host = stack.stackctl("switch", f"http://localhost:{host_double.port}").ok()
    assert f"consumers are told http://host.docker.internal:{host_double.port}" in to_host.err
    assert stack.running() == {"backend"}
    assert set(stack.containers()) == {"backend"}
    answers(stack, "host-double")

    stack.stackctl("switch", "box").ok()
    assert set(stack.containers()) == {"backend"}
    answers(stack, "far-double")
    status = stack.stackctl("status", "--json").ok().json
    assert status["profile"] == "box"
    assert status["drift"] == []
    (seen,) = status["consumers"]
    assert (
        seen.items()
        >= {
            "service": "backend",
            "configured": f"http://{NAME}:11434",
            "reaches": "box",
            "told": f"http://{NAME}:11434",
            "ok": True,
            "reason": None,
        }.items()
    )

    stack.stackctl("switch", "local").ok()
    assert stack.running() == {"backend", "ollama"}
    answers(stack, "local-double")
    assert docker("volume", "inspect", f"{stack.name}_models") == volume
    assert (stack.directory / "compose.yaml").read_bytes() == before


def test_an_ollama_that_is_added(stack: Project, host_double: Double) -> None:
    """A project without an Ollama gets one, with its model pulled, and loses it again."""
    stack.compose({"backend": backend()})
    stack.config(
        models=["llama3.2:1b"],
        local={"image": "stackctl.local/ollama-double:dev", "gpu": "none", "tuning": {"num_parallel": 3}},
    )
    up = stack.stackctl("up").ok()
    assert "pulled llama3.2:1b" in up.err
    added = stack.containers()["ollama"]
    assert added["Config"]["Labels"]["io.stackctl.role"] == "ollama"
    assert added["State"]["Health"]["Status"] == "healthy"
    assert added["HostConfig"]["PortBindings"] in ({}, None)
    assert "OLLAMA_NUM_PARALLEL=3" in added["Config"]["Env"]
    answers(stack, added["Config"]["Hostname"])

    stack.stackctl("switch", f"http://localhost:{host_double.port}").ended(1)  # it has another model
    assert stack.running() == {"backend", "ollama"}
    stack.config(models=[MODEL], local={"image": "stackctl.local/ollama-double:dev", "gpu": "none"})
    stack.stackctl("switch", f"http://localhost:{host_double.port}").ok()
    assert set(stack.containers()) == {"backend"}
    answers(stack, "host-double")
    assert docker("volume", "ls", "--quiet", "--filter", f"name={stack.name}_ollama_data").strip()

    back = stack.stackctl("rollback").ok()
    assert "now uses local" in back.out
    assert stack.running() == {"backend", "ollama"}


def test_a_second_up_changes_nothing(stack: Project) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config()
    first = stack.process("up", "--json").ok().json
    assert first["changed"] is True
    marks, files = stack.marks(), stack.files()
    second = stack.process("up", "--json").ok().json
    assert second["changed"] is False
    assert second["plan"] == []
    assert second["consumers"][0]["ok"] is True
    assert "nothing to do" in stack.stackctl("switch", "local").ok().out
    assert stack.marks() == marks
    assert stack.files() == files


def test_a_dry_run_touches_nothing(stack: Project, host_double: Double) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config()
    plan = stack.stackctl("up", "--dry-run").ok().out
    assert "1. write override" in plan
    assert "save state  # verified" in plan
    assert stack.containers() == {}
    assert not (stack.directory / ".stackctl").exists()

    stack.stackctl("up").ok()
    marks, files = stack.marks(), stack.files()
    plan = stack.stackctl("switch", f"http://localhost:{host_double.port}", "--dry-run").ok().out
    assert "compose up backend" in plan
    assert f"stop and remove container {stack.name}-ollama-1" in plan
    assert stack.marks() == marks
    assert stack.files() == files


def test_the_address_of_the_stacks_own_server_is_local(stack: Project) -> None:
    """Taken for a server elsewhere, it would be switched off after it had answered."""
    stack.compose({"ollama": ollama(container_name=f"{stack.name}-llm"), "backend": backend()}, volumes=VOLUMES)
    stack.config()
    stack.stackctl("up").ok()
    marks = stack.marks()
    for name in ("ollama", f"{stack.name}-llm"):
        ran = stack.stackctl("switch", f"http://{name}:11434").ok()
        assert "is this stack's own Ollama container: the profile `local`" in ran.err
        assert "uses local already; nothing to do" in ran.out
        assert stack.marks() == marks


def test_a_consumer_on_the_hosts_network(stack: Project, tmp_path: Path) -> None:
    """It is told the host itself, by either profile, and ``status`` finds nothing odd about that."""
    port = free_port()
    sleeper = {"image": BACKEND, "network_mode": "host", "init": True, "entrypoint": ["sleep", "600"]}
    stack.compose({"ollama": ollama(), "backend": {**sleeper, "environment": ["OLLAMA_URL=x"]}}, volumes=VOLUMES)
    stack.config(local={"gpu": "none", "publish": f"127.0.0.1:{port}"})
    with double.double(tmp_path / "lo", name="on-loopback", models=[MODEL]) as server:
        for target, told, reaches in (
            ("local", f"http://127.0.0.1:{port}", "local"),
            (f"http://localhost:{server.port}", f"http://127.0.0.1:{server.port}", f"http://localhost:{server.port}"),
        ):
            stack.stackctl("up", target).ok()
            status = stack.stackctl("status", "--json").ok().json
            assert status["drift"] == []
            assert [(c["configured"], c["reaches"], c["ok"]) for c in status["consumers"]] == [(told, reaches, True)]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_an_edit_that_no_hash_of_compose_covers_is_applied(stack: Project) -> None:
    """What an env_file holds, and how a network is made: Compose acts on both, and computes its hashes without them."""

    def write(mtu: str) -> None:
        networks = {"default": {"driver_opts": {MTU: mtu}}}
        services = {"ollama": ollama(), "backend": backend(env_file=["app.env"]), "beside": BESIDE}
        stack.compose(services, volumes=VOLUMES, networks=networks)

    def mtu() -> str:
        return json.loads(docker("network", "inspect", f"{stack.name}_default"))[0]["Options"][MTU]

    stack.write("app.env", "FLAVOUR=plain\n")
    write("1400")
    stack.config()
    stack.stackctl("up").ok()
    before = stack.marks()
    assert "nothing to do" in stack.stackctl("up").ok().out

    stack.write("app.env", "FLAVOUR=sweet\n")
    assert "backend: its configuration differs" in stack.stackctl("status").text
    stack.stackctl("up").ok()
    assert stack.exec("backend", "printenv", "FLAVOUR").strip() == "sweet"
    assert {s for s, mark in stack.marks().items() if mark != before[s]} == {"backend"}
    assert "nothing to do" in stack.stackctl("up").ok().out

    write("1300")
    plan = stack.stackctl("up", "--dry-run").ok().out
    assert "compose up --force-recreate backend beside ollama  # the network default differs" in plan
    stack.stackctl("up").ok()
    assert mtu() == "1300"
    assert "nothing to do" in stack.stackctl("up").ok().out
    assert "This is local-double" in stack.chat()["text"]


def test_a_switch_while_a_network_differs(stack: Project, host_double: Double) -> None:
    """Compose makes the network anew whichever service it is asked for, and cannot while one is left on it."""

    def write(mtu: str) -> None:
        networks = {"default": {"driver_opts": {MTU: mtu}}, "other": None}
        services = {"ollama": ollama(), "backend": backend(), "beside": BESIDE}
        services["apart"] = {**BESIDE, "networks": ["other"]}
        stack.compose(services, volumes=VOLUMES, networks=networks)

    write("1400")
    stack.config()
    stack.stackctl("up").ok()
    apart = stack.marks()["apart"]
    write("1300")
    stack.stackctl("switch", f"http://localhost:{host_double.port}").ok()
    assert "This is host-double" in stack.chat()["text"]
    assert stack.running() == {"backend", "beside", "apart"}
    assert stack.marks()["apart"] == apart
    write("1200")
    stranger = docker("run", "--detach", "--label", "io.stackctl.test=1", "--network", f"{stack.name}_default", *SLEEP)
    try:
        files, marks = stack.files(), stack.marks()
        refused = stack.stackctl("switch", "local").ended(1).err
        assert "the network default differs" in refused
        assert f"docker network disconnect {stack.name}_default " in refused
        assert (stack.files(), stack.marks()) == (files, marks)
    finally:
        docker("rm", "--force", stranger.strip())
    stack.stackctl("switch", "local").ok()
    assert "This is local-double" in stack.chat()["text"]
    assert stack.running() == {"ollama", "backend", "beside", "apart"}
    assert stack.marks()["apart"] == apart
    assert "nothing to do" in stack.stackctl("up").ok().out
