"""Compose's own verbs on the stack as it is in force, and ``detach``."""

from __future__ import annotations

import json
import secrets

from tests.support.cli import start_process
from tests.support.double import Double
from tests.support.project import BUSYBOX, MODEL, VOLUMES, Project, backend, docker, ollama


def test_composes_own_verbs(stack: Project, host_double: Double) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config()
    url = f"http://localhost:{host_double.port}"
    stack.stackctl("up", url).ok()

    ps = stack.process("ps", "--json").ok().json
    assert [c["Service"] for c in ps["containers"]] == ["backend"]
    assert f"{stack.name}-backend-1" in stack.process("ps").ok().out
    told = stack.process("exec", "-T", "backend", "sh", "-c", 'echo "$OLLAMA_URL"; exit 7').ended(7)
    assert told.out.strip() == f"http://host.docker.internal:{host_double.port}"
    assert "Uvicorn running" in stack.process("logs", "--no-log-prefix", "backend").ok().out
    started = stack.marks()["backend"]
    stack.process("restart", "backend").ok()
    again = stack.marks()["backend"]
    assert again[0] == started[0]
    assert again[1] != started[1]
    assert stack.process("compose", "--", "config", "--services").ok().out.split() == ["backend"]
    assert stack.process("compose", "--", "nonsense").code not in (0, 3)

    following = start_process("logs", "--follow", "backend", cwd=stack.directory)
    assert following.stdout is not None
    assert "backend" in following.stdout.readline()
    following.terminate()
    assert following.wait(20) == 130
    following.communicate(timeout=20)  # ends where Compose has ended too

    stack.process("down").ok()
    assert stack.containers() == {}
    assert docker("volume", "ls", "--quiet", "--filter", f"name={stack.name}_models").strip() == ""
    stack.stackctl("up").ok()  # the target that was in force
    assert "This is host-double" in stack.chat()["text"]


def test_models_that_are_added_to_the_file_are_pulled(stack: Project) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config()
    stack.stackctl("up").ok()
    marks = stack.marks()
    stack.config(models=[MODEL, "llama3.2:1b"])
    assert "pulled llama3.2:1b" in stack.stackctl("up").ok().err
    assert stack.marks() == marks
    assert "llama3.2:1b" in stack.exec("ollama", "ollama", "list")
    assert "nothing to do" in stack.stackctl("up").ok().out


def test_a_shared_network_and_detach(stack: Project, host_double: Double) -> None:
    """The network is ours to make, and ours to take away only where nobody else is on it."""
    shared = f"sct-e2e-net-{secrets.token_hex(3)}"
    stack.networks.append(shared)
    services = {"ollama": ollama(), "backend": backend(depends_on=["ollama"])}
    stack.compose(services, volumes=VOLUMES)
    docker("compose", "--project-directory", str(stack.directory), "up", "--detach")
    plain = {s: c["Config"]["Labels"]["com.docker.compose.config-hash"] for s, c in stack.containers().items()}
    kept = stack.marks()["ollama"]

    stack.config(network={"shared": shared})
    stack.stackctl("up", f"http://localhost:{host_double.port}").ok()
    network = json.loads(docker("network", "inspect", shared))[0]
    assert network["Labels"]["io.stackctl.role"] == "network"
    assert [c["Name"] for c in network["Containers"].values()] == [f"{stack.name}-backend-1"]
    assert set(stack.containers()) == {"backend"}

    stranger = docker("run", "--detach", "--label", "io.stackctl.test=1", "--network", shared, BUSYBOX, "sleep", "600")
    try:
        said = stack.stackctl("detach").ok()
        assert f"the network {shared} is still used by others and stays" in said.err
        assert docker("network", "ls", "--quiet", "--filter", f"name={shared}").strip()
    finally:
        docker("rm", "--force", stranger.strip())
    assert not (stack.directory / ".stackctl").exists()
    assert (stack.directory / "stackctl.yaml").exists()
    now = {s: c["Config"]["Labels"]["com.docker.compose.config-hash"] for s, c in stack.containers().items()}
    assert now == plain
    assert stack.running() == {"backend", "ollama"}
    assert kept[0] != stack.marks()["ollama"][0]
    assert shared not in stack.containers()["backend"]["NetworkSettings"]["Networks"]

    stack.stackctl("up", "local").ok()
    stack.stackctl("detach", "--purge").ok()
    assert not docker("network", "ls", "--quiet", "--filter", f"name={shared}").strip()
    assert sorted(p.name for p in stack.directory.iterdir()) == ["compose.yaml"]
    marks = stack.marks()
    docker("compose", "--project-directory", str(stack.directory), "up", "--detach")
    assert stack.marks() == marks
