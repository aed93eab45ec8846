"""Nobody loses the server that a switch leaves, and the stack's own server is known by where it listens."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.double import Double
from tests.support.project import BACKEND, BUSYBOX, MODEL, VOLUMES, Project, backend, docker, ollama

SLEEPS: dict[str, Any] = {"image": BACKEND, "init": True, "entrypoint": [], "command": ["sleep", "600"]}
ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1] + '/api/version', timeout=5).status)"
INTERFACES = "import os; print(' '.join(os.listdir('/sys/class/net')))"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def asks(stack: Project, service: str, url: str = "http://ollama:11434") -> bool:
    """Whether a client of the service's own gets an answer there."""
    try:
        return stack.exec(service, "python3", "-c", ASK, url).strip() == "200"
    except AssertionError:
        return False


def away(stack: Project, host_double: Double) -> dict[str, Any]:
    """Switched to the server on the host, whatever is left behind; the JSON document."""
    document: dict[str, Any] = stack.stackctl("switch", f"http://localhost:{host_double.port}", "--json").ok().json
    assert "host-double" in stack.chat()["text"]
    return document


TOLD_OTHERWISE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a mounted file": (
        {"volumes": ["./app.toml:/data/config.toml:ro"]},
        {"files": {"app.toml": "[model]\n\napi_endpoint = 'http://ollama:11434/v1'\n"}},
        "app.toml:3",
    ),
    "a config of Compose": (
        {"configs": [{"source": "cfg", "target": "/app/config.yaml"}]},
        {"configs": {"cfg": {"content": "llm: {base_url: 'http://ollama:11434'}\n"}}},
        "compose.yaml",
    ),
    "a secret": (
        {"secrets": ["url"], "environment": {"OLLAMA_BASE_URL_FILE": "/run/secrets/url"}},
        {"secrets": {"url": {"file": "./url.txt"}}, "files": {"url.txt": "http://ollama:11434\n"}},
        "",
    ),
    "a variable that stackctl.yaml does not know": (
        {"environment": {"LLM_ENDPOINT": "http://ollama:11434/v1"}},
        {},
        "compose.yaml",
    ),
    "a volume of the server": ({"volumes_from": ["ollama:ro"]}, {}, "volumes_from"),
    "a network namespace": ({"network_mode": "service:ollama"}, {}, "network_mode"),
}


@pytest.mark.parametrize("form", TOLD_OTHERWISE, ids=str)
def test_the_server_stays_for_whoever_cannot_be_moved(form: str, stack: Project, host_double: Double) -> None:
    settings, top, place = TOLD_OTHERWISE[form]
    for name, text in top.get("files", {}).items():
        stack.write(name, text)
    more = {key: value for key, value in top.items() if key != "files"}
    services = {"ollama": ollama(), "backend": backend(depends_on=["ollama"]), "other": {**SLEEPS, **settings}}
    stack.compose(services, volumes=VOLUMES, **more)
    stack.config()
    stack.stackctl("up").ok()
    before = stack.marks()

    said = [w for w in away(stack, host_double)["warnings"] if "ollama is left running" in w]
    assert len(said) == 1
    assert "other" in said[0]
    assert place in said[0]
    assert {s: m for s, m in stack.marks().items() if s != "backend"} == {s: before[s] for s in ("ollama", "other")}
    if "network" not in form:
        assert asks(stack, "other")
    assert "nothing to do" in stack.stackctl("up").ok().out
    assert stack.stackctl("status", "--json").json["drift"] == []

    stack.stackctl("switch", "local").ok()
    assert "local-double" in stack.chat()["text"]
    assert stack.marks()["other"] == before["other"]
    stack.stackctl("detach").ok()
    assert stack.running() == {"ollama", "backend", "other"}


def test_once_nobody_needs_it_the_server_goes(stack: Project, host_double: Double) -> None:
    other = {**SLEEPS, "environment": {"LLM_ENDPOINT": "http://ollama:11434"}, "profiles": ["more"]}
    stack.compose({"ollama": ollama(), "backend": backend(), "other": other}, volumes=VOLUMES)
    stack.config()
    stack.stackctl("up").ok()
    away(stack, host_double)
    assert stack.running() == {"backend"}


def test_a_consumer_that_runs_is_switched_whatever_its_profile(stack: Project, host_double: Double) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(), "batch": backend(profiles=["batch"])}, volumes=VOLUMES)
    told = {"env": {"OLLAMA_URL": "{url}", "OLLAMA_MODEL": "{model}"}}
    stack.config(consumers={"backend": told, "batch": told})
    docker("compose", "--project-directory", str(stack.directory), "--profile", "batch", "up", "-d")
    before = stack.containers()["batch"]["Config"]["Labels"]["com.docker.compose.config-hash"]
    stack.stackctl("up").ok()
    away(stack, host_double)
    assert "host-double" in stack.chat("batch")["text"]
    assert stack.running() == {"backend", "batch"}
    status = stack.stackctl("status", "--json").ok().json
    assert status["drift"] == []
    assert all(c["ok"] for c in status["consumers"])
    stack.stackctl("detach").ok()
    assert stack.containers()["batch"]["Config"]["Labels"]["com.docker.compose.config-hash"] == before
    assert "ollama" in stack.running()


@pytest.fixture
def stranger() -> Iterator[list[str]]:
    """Names of containers that no project of the test's owns."""
    names: list[str] = []
    yield names
    for name in names:
        docker("rm", "--force", name, check=False)


def test_another_projects_container_is_not_cut_off(stack: Project, host_double: Double, stranger: list[str]) -> None:
    stack.compose({"ollama": ollama(), "backend": backend()}, volumes=VOLUMES)
    stack.config()
    stack.stackctl("up").ok()
    stranger.append(f"sct-stranger-{secrets.token_hex(4)}")
    docker(
        "run", "--detach", "--name", stranger[0], "--network", f"{stack.name}_default",
        "--env", "OLLAMA_HOST=http://ollama:11434", "--entrypoint", "sleep", BUSYBOX, "600",
    )  # fmt: skip
    before = stack.marks()["ollama"]
    said = away(stack, host_double)["warnings"]
    assert any(stranger[0] in w and "OLLAMA_HOST" in w for w in said)
    assert stack.marks()["ollama"] == before


def test_the_own_server_by_a_published_port_is_local(stack: Project) -> None:
    port = free_port()
    stack.compose({"ollama": ollama(ports=[f"{port}:11434"]), "backend": backend()}, volumes=VOLUMES)
    stack.config(instances={"here": {"url": f"http://host.docker.internal:{port}"}})
    stack.stackctl("up").ok()
    marks = stack.marks()
    address = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]
    for name in (f"http://localhost:{port}", f"http://{address}:{port}", "here"):
        ran = stack.stackctl("switch", name).ok()
        assert "is this stack's own Ollama container" in ran.err
        assert stack.marks() == marks


def test_the_own_server_on_the_hosts_network_is_local(stack: Project) -> None:
    port = free_port()
    server = ollama(network_mode="host")
    server["environment"] = {**server["environment"], "OLLAMA_HOST": f"0.0.0.0:{port}"}
    by_host = f"http://host.docker.internal:{port}"
    bot = backend(environment={"OLLAMA_URL": by_host, "OLLAMA_MODEL": MODEL})
    stack.compose({"ollama": server, "backend": bot}, volumes=VOLUMES)
    stack.config(instances={"host": {"url": f"http://localhost:{port}"}})
    stack.stackctl("up").ok()
    assert stack.chat()["ollama"] == by_host
    assert "is this stack's own" in stack.stackctl("switch", "host").ok().err
    assert "local-double" in stack.chat()["text"]


@pytest.mark.parametrize("gateway", [False, True])
def test_a_server_in_anothers_namespace(gateway: bool, stack: Project, host_double: Double) -> None:
    inside = {"network_mode": "service:tunnel"}
    stack.compose(
        {
            "tunnel": dict(SLEEPS),
            "ollama": ollama(**inside),
            "backend": backend(**inside, environment={"OLLAMA_URL": "http://127.0.0.1:11434", "OLLAMA_MODEL": MODEL}),
            "outer": backend(environment={"OLLAMA_URL": "http://tunnel:11434", "OLLAMA_MODEL": MODEL}),
        },
        volumes=VOLUMES,
    )
    told = {"env": {"OLLAMA_URL": "{url}", "OLLAMA_MODEL": "{model}"}}
    stack.config(consumers={"backend": told, "outer": told}, gateway=gateway)
    docker("compose", "--project-directory", str(stack.directory), "up", "-d")
    before = stack.marks()
    stack.stackctl("up").ok()
    if not gateway:
        assert stack.marks()["backend"] == before["backend"]
        assert stack.chat("outer")["ollama"] == "http://tunnel:11434"
    for service in ("backend", "outer"):
        assert "local-double" in stack.chat(service)["text"]
    away(stack, host_double)
    assert "ollama" not in stack.running()
    stack.stackctl("switch", "local").ok()
    for service in ("backend", "outer"):
        assert "local-double" in stack.chat(service)["text"]


def test_whoever_shares_a_replaced_namespace_goes_along(stack: Project, host_double: Double) -> None:
    inside = {"network_mode": "service:vpn"}
    stack.compose(
        {
            "vpn": dict(SLEEPS),
            "backend": backend(**inside),
            "indexer": {**SLEEPS, **inside},
            "watcher": {**SLEEPS, "pid": "service:indexer"},
            "beside": dict(SLEEPS),
            "ollama": ollama(),
        },
        volumes=VOLUMES,
    )
    stack.config()
    stack.stackctl("up").ok()
    beside = stack.marks()["beside"]
    away(stack, host_double)
    assert stack.running() == {"vpn", "backend", "indexer", "watcher", "beside"}
    assert "eth0" in stack.exec("indexer", "python3", "-c", INTERFACES)
    assert stack.marks()["beside"] == beside
    stack.stackctl("rollback").ok()
    assert asks(stack, "indexer")
    assert stack.marks()["beside"] == beside


def test_detach_leaves_containers_of_other_files(stack: Project) -> None:
    stack.compose({"ollama": ollama(), "backend": backend()}, volumes=VOLUMES)
    stack.config()
    stack.stackctl("up").ok()
    docker(
        "run", "--detach", "--name", f"{stack.name}-db-1", "--label", f"com.docker.compose.project={stack.name}",
        "--label", "com.docker.compose.service=db", "--entrypoint", "sleep", BUSYBOX, "600",
    )  # fmt: skip
    before = stack.marks()["db"]
    stack.stackctl("detach").ok()
    assert stack.marks()["db"] == before


def test_a_consumer_that_falls_again_and_again_shows_its_log(stack: Project) -> None:
    stack.compose(
        {
            "ollama": ollama(),
            "backend": {
                **backend(),
                "restart": "always",
                "entrypoint": [],
                "command": ["sh", "-c", "echo no settings file; exit 3"],
            },
        },
        volumes=VOLUMES,
    )
    stack.config()
    assert "no settings file" in stack.stackctl("up").ended(1).err


def test_nobody_to_move_is_no_success(stack: Project, host_double: Double) -> None:
    stack.compose({"ollama": ollama(), "backend": backend()}, volumes=VOLUMES)
    stack.config(consumers={})
    stack.stackctl("up").ok()
    assert "no consumer" in stack.stackctl("switch", f"http://localhost:{host_double.port}").ended(1).err
    assert stack.running() == {"ollama", "backend"}


def test_what_a_switch_costs_is_said_before(stack: Project, host_double: Double) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(), "beside": dict(SLEEPS)}, volumes=VOLUMES)
    stack.config()
    stack.stackctl("up").ok()
    plan = stack.stackctl("switch", f"http://localhost:{host_double.port}", "--dry-run", "--json").ok().json
    (cost,) = plan["recreates"]
    assert cost["service"] == "backend"
    assert cost["seconds"] > 0
    said = stack.stackctl("switch", f"http://localhost:{host_double.port}").ok().err
    assert "re-creates backend (" in said
    assert "behind `gateway: true` a switch re-creates nobody" in said


def test_a_switch_that_could_move_nobody_names_who_is_fixed(stack: Project) -> None:
    stack.compose({"ollama": ollama(), "shop": {"image": BUSYBOX, "command": ["sleep", "1d"]}}, volumes=VOLUMES)
    stack.config(consumers={"shop": {"fixed": "shop/.env:2"}})
    refused = stack.stackctl("switch", "http://192.0.2.1:11434").ended(1)
    assert "shop (shop/.env:2) cannot be told otherwise" in refused.err
    assert "gateway: true" in refused.err
