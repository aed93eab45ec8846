"""``init`` and a plain ``up`` on stacks that run: every consumer's own client reaches the server that it had."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from tests.support.cli import environment
from tests.support.double import Double
from tests.support.project import BUSYBOX, MODEL, VOLUMES, Project, backend, ollama

HOST = ["host.docker.internal:host-gateway"]
HEALTHY = {"test": ["CMD", "ollama", "list"], "interval": "1s", "retries": 60}


def start(stack: Project, services: dict[str, Any], *profiles: str, **top: Any) -> None:
    stack.compose(services, **top)
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    up = ["docker", "compose", *chosen, "up", "-d", "--wait"]
    subprocess.run(up, cwd=stack.directory, env=environment(), check=True, capture_output=True)


def adopt(stack: Project) -> Any:
    """``init`` and ``up``; what ``init`` wrote."""
    stack.stackctl("init", "--yes").ok()
    path = stack.directory / "stackctl.yaml"
    path.write_text(path.read_text().replace("\nlocal:\n", "\nlocal:\n  gpu: none\n"))
    stack.stackctl("up").ok()
    return yaml.safe_load(path.read_text())


def told(url: str) -> dict[str, Any]:
    return {"environment": {"OLLAMA_URL": url, "OLLAMA_MODEL": MODEL}}


def test_each_of_two_servers_keeps_its_consumer(stack: Project) -> None:
    start(
        stack,
        {
            "ollama1": {**ollama("one"), "volumes": []},
            "ollama2": {**ollama("two"), "volumes": []},
            "web1": backend(**told("http://ollama1:11434")),
            "web2": backend(**told("http://ollama2:11434")),
        },
    )
    before = stack.marks()
    document = adopt(stack)
    assert stack.marks() == before, "nothing differs for anybody, so no container is made anew"
    assert list(document["consumers"]) == ["web1"]
    assert "This is one," in stack.chat("web1")["text"]
    assert "This is two," in stack.chat("web2")["text"]
    assert {"ollama1", "ollama2"} <= stack.running()


def test_a_server_elsewhere_stays_in_use_and_the_own_one_off(stack: Project, host_double: Double) -> None:
    url = f"http://host.docker.internal:{host_double.port}"
    services = {"ollama": ollama(profiles=["local"]), "web": backend(**told(url), extra_hosts=HOST)}
    start(stack, services, volumes=VOLUMES)
    document = adopt(stack)
    assert (document["default"], document["instances"]) == ("host", {"host": {"url": url}})
    assert "This is host-double," in stack.chat("web")["text"]
    assert "ollama" not in stack.containers()
    stack.stackctl("switch", "local").ok()
    assert "This is local-double," in stack.chat("web")["text"]


def test_a_server_in_anothers_namespace_is_local(stack: Project, host_double: Double) -> None:
    inside = {"network_mode": "service:tunnel"}
    server = ollama(**inside)
    server["environment"] |= {"OLLAMA_HOST": "0.0.0.0:11434"}
    start(
        stack,
        {
            "tunnel": {"image": BUSYBOX, "command": ["sleep", "infinity"], "init": True},
            "ollama": server,
            "web": backend(**told("http://127.0.0.1:11434"), **inside),
            "outside": backend(**told("http://tunnel:11434")),
        },
        volumes=VOLUMES,
    )
    before = stack.marks()
    document = adopt(stack)
    assert (document["default"], document["local"]["service"]) == ("local", "ollama")
    assert "instances" not in document
    after = stack.marks()
    assert (after["web"], after["outside"]) == (before["web"], before["outside"])
    status = stack.stackctl("status", "--json").ok().json
    assert {c["service"]: c["reaches"] for c in status["consumers"]} == {"web": "local", "outside": "local"}
    stack.stackctl("switch", f"http://localhost:{host_double.port}").ok()
    assert "This is host-double," in stack.chat("outside")["text"]


def test_the_profile_that_the_stack_was_started_with_goes_on(stack: Project) -> None:
    shared = {"volumes": [], "networks": {"default": {"aliases": ["llm"]}}}
    services = {
        "on-cpu": ollama("cpu", profiles=["cpu"], **shared),
        "on-gpu": ollama("gpu", profiles=["gpu"], **shared),
        "web": backend(**told("http://llm:11434")),
    }
    start(stack, services, "gpu")
    document = adopt(stack)
    assert (document["compose"], document["local"]["service"]) == ({"profiles": ["gpu"]}, "on-gpu")
    assert "This is gpu," in stack.chat("web")["text"]
    assert "on-cpu" not in stack.containers()


def test_a_model_that_is_not_there_today_is_not_required(stack: Project) -> None:
    services = {"ollama": ollama(healthcheck=HEALTHY), "web": backend(**told("http://ollama:11434"))}
    services["ollama"]["environment"] |= {"OLLAMA_DOUBLE_MODELS": "qwen3:8b", "OLLAMA_DOUBLE_REGISTRY": "dns"}
    start(stack, services, volumes=VOLUMES)
    document = adopt(stack)
    assert "models" not in document
    assert document["consumers"] == {"web": {"env": {"OLLAMA_URL": "{url}"}}}


def test_a_server_that_nobody_is_known_to_use_runs_on(stack: Project, host_double: Double) -> None:
    url = f"http://host.docker.internal:{host_double.port}"
    start(stack, {"ollama": ollama(), "web": backend(**told(url), extra_hosts=HOST)}, volumes=VOLUMES)
    before = stack.marks()
    document = adopt(stack)
    assert document["default"] == "host"
    assert stack.marks() == before
    assert "nothing to do" in stack.stackctl("up").ok().text
    assert "ollama" in stack.running()
    stack.stackctl("switch", "local").ok()
    stack.stackctl("switch", "host").ok()
    assert "ollama" not in stack.running()
