"""Verified means that the app's own client would succeed: with its value, its proxy, its trust and what it can show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import double
from tests.support.double import Double
from tests.support.gatewaylab import certificate
from tests.support.netlab import bridge_address
from tests.support.project import MODEL, VOLUMES, Project, docker, ollama

PYTHON = "stackctl.local/python:base"
CLIENT = """
import os, urllib.request as u
print(u.urlopen(os.environ["OLLAMA_URL"].rstrip("/") + "/api/tags", timeout=10).status)
"""
PROXY = """
import http.server
class Proxy(http.server.BaseHTTPRequestHandler):
    def refuse(self):
        self.send_response(503)
        self.end_headers()
    do_GET = do_POST = do_HEAD = do_CONNECT = refuse
http.server.ThreadingHTTPServer(("", 3128), Proxy).serve_forever()
"""
CONSUMERS: dict[str, Any] = {"app": {"env": {"OLLAMA_URL": "{url}"}}}


def app(**settings: Any) -> dict[str, Any]:
    """An app that is told its Ollama by one variable; its client is Python's."""
    return {
        "image": PYTHON,
        "init": True,
        "command": ["sleep", "infinity"],
        "environment": {"OLLAMA_URL": "http://ollama:11434"},
        **settings,
    }


def config(stack: Project, **settings: Any) -> None:
    stack.config(**{"consumers": CONSUMERS, "models": [], "local": {"service": "ollama", "gpu": "none"}, **settings})


def client(stack: Project, service: str = "app") -> str:
    """What the app's own client gets."""
    return stack.exec(service, "python3", "-c", CLIENT).strip()


def identity(stack: Project) -> str:
    found: str = stack.containers()["app"]["Id"]
    return found


@pytest.mark.parametrize(("template", "said"), [("{url}/team", "404"), ("{url}/api/nothing", "404")])
def test_a_value_that_does_not_answer_is_rolled_back(
    template: str, said: str, stack: Project, host_double: Double
) -> None:
    """The target answers; what the template makes of its address does not."""
    stack.compose({"ollama": ollama(), "app": app()}, volumes=VOLUMES)
    config(stack)
    stack.stackctl("up").ok()
    before = identity(stack)
    config(stack, consumers={"app": {"env": {"OLLAMA_URL": template}}})
    ran = stack.stackctl("switch", f"http://localhost:{host_double.port}").ended(1)
    assert said in ran.err
    assert identity(stack) == before
    assert client(stack) == "200"


def test_parts_of_an_address_and_longer_values_are_asked_as_they_are(stack: Project, host_double: Double) -> None:
    env = {
        "LLM_HOST": "{host}",
        "LLM_PORT": "{port}",
        "OPENAI_API_BASE_URL": "{url}/v1",
        "CHAT_URL": "{url}/api/chat",
        "ConnectionStrings__llm": "Endpoint={url};Model=tiny-chat",
        "SPRING_APPLICATION_JSON": '{"spring": {"ai": {"ollama": {"base-url": "{url}"}}}}',
    }
    stack.compose({"ollama": ollama(), "app": app()}, volumes=VOLUMES)
    config(stack, consumers={"app": {"env": env}})
    stack.stackctl("up").ok()
    stack.stackctl("switch", f"http://localhost:{host_double.port}").ok()
    seen = stack.stackctl("status", "--json").ok().json["consumers"]
    assert [c["ok"] for c in seen] == [True]
    asked = {r["target"] for r in host_double.requests()}
    assert {"/v1/models", "/api/chat", "/api/tags"} <= asked


def test_a_proxy_does_not_take_what_is_meant_for_the_lan(stack: Project, host_double: Double) -> None:
    """The exception is added for the target, and taken away again with the override."""
    before = {"NO_PROXY": "localhost,ollama,.corp.example", "no_proxy": "localhost,ollama,.corp.example"}
    proxied = {"HTTP_PROXY": "http://proxy:3128", "http_proxy": "http://proxy:3128", **before}
    proxy = {"image": PYTHON, "init": True, "command": ["python3", "-c", PROXY]}
    services = {"ollama": ollama(), "proxy": proxy, "app": app(environment={"OLLAMA_URL": "http://x", **proxied})}
    stack.compose(services, volumes=VOLUMES)
    config(stack)
    stack.stackctl("up").ok()
    assert client(stack) == "200"
    stack.stackctl("switch", f"http://{bridge_address()}:{host_double.port}").ok()
    assert client(stack) == "200"
    assert environment(stack)["NO_PROXY"] == f"localhost,ollama,.corp.example,{bridge_address()}"
    stack.stackctl("switch", "local").ok()
    assert {k: environment(stack)[k] for k in before} == before
    assert client(stack) == "200"


def test_a_public_target_behind_a_proxy_that_refuses_is_refused(stack: Project) -> None:
    """Whatever is reached directly: the app's client would ask its proxy."""
    proxied = {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "ollama"}
    proxy = {"image": PYTHON, "init": True, "command": ["python3", "-c", PROXY]}
    server = {**ollama("far"), "networks": {"default": {"aliases": ["llm.public.example"]}}}
    services = {
        "ollama": ollama(),
        "far": server,
        "proxy": proxy,
        "app": app(environment={"OLLAMA_URL": "http://ollama:11434", **proxied}),
    }
    stack.compose(services, volumes=VOLUMES)
    config(stack)
    stack.stackctl("up").ok()
    before = identity(stack)
    ran = stack.stackctl("switch", "http://llm.public.example:11434").ended(1)
    assert "503, through the proxy proxy:3128" in ran.err
    assert identity(stack) == before
    assert client(stack) == "200"


def environment(stack: Project) -> dict[str, str]:
    return dict(e.split("=", 1) for e in stack.containers()["app"]["Config"]["Env"])


@pytest.fixture
def private(tmp_path: Path) -> Any:
    """A server whose certificate a private CA signed, on an address of this machine; and the CA."""
    authority = certificate("stackctl test authority")
    (tmp_path / "ca.pem").write_text(authority[0])
    cert, key = certificate("secure", names="DNS:ollama.corp.example", signed_by=authority)
    (tmp_path / "cert.pem").write_text(cert)
    (tmp_path / "key.pem").write_text(key)
    tls = (tmp_path / "cert.pem", tmp_path / "key.pem")
    with double.double(tmp_path / "tls", host=bridge_address(), models=[MODEL], tls=tls) as server:
        yield server, tmp_path / "ca.pem"


@pytest.mark.parametrize("runs_before", [True, False])
def test_a_ca_that_only_stackctl_knows_is_no_trust(
    *, runs_before: bool, stack: Project, private: tuple[Double, Path]
) -> None:
    """Unfit for an app without the CA, with nothing touched; fit for one that brings it."""
    server, ca = private
    stack.write("ca.pem", ca.read_text())
    tls = {
        "url": f"https://ollama.corp.example:{server.port}",
        "address": bridge_address(),
        "tls": {"ca_file": "ca.pem"},
    }
    stack.compose({"ollama": ollama(), "app": app()}, volumes=VOLUMES)
    config(stack, instances={"tls": tls})
    if runs_before:
        stack.stackctl("up", "local").ok()
    before = stack.marks()
    ran = stack.stackctl("up", "tls").ended(1)
    assert "ca.pem" in ran.err
    assert "gateway: true" in ran.err
    assert stack.marks() == before

    trusting = {"OLLAMA_URL": "http://ollama:11434", "SSL_CERT_FILE": "/ca.pem"}
    stack.compose(
        {"ollama": ollama(), "app": app(environment=trusting, volumes=["./ca.pem:/ca.pem:ro"])}, volumes=VOLUMES
    )
    stack.stackctl("up", "tls").ok()
    assert client(stack) == "200"


def test_a_header_that_no_app_sends_is_refused_before_anything_is_touched(stack: Project, far: Any) -> None:
    """Verbs that look, and other targets, are not held up by it."""
    stack.env["BOX_KEY"] = "sesame-7421"
    stack.compose({"ollama": ollama(), "app": app()}, volumes=VOLUMES)
    config(stack, instances={"box": {"url": f"http://{far.address}:11434", "headers": {"X-Api-Key": "${BOX_KEY}"}}})
    stack.stackctl("up", "local").ok()
    before = stack.marks()
    stack.stackctl("status").ok()
    stack.stackctl("diagnose").ok()
    ran = stack.stackctl("switch", "box").ended(2)
    assert "needs the header X-Api-Key" in ran.err
    assert "gateway: true" in ran.err
    assert "{token}" in ran.err
    assert stack.marks() == before


def test_the_stand_in_has_what_the_app_will_have(stack: Project, host_double: Double) -> None:
    """A name that only the app's own extra_hosts know, before anything of the project has been started."""
    told = {"OLLAMA_URL": f"http://gpubox:{host_double.port}"}
    stack.compose({"app": app(environment=told, extra_hosts=[f"gpubox:{bridge_address()}"])})
    config(stack, instances={"box": {"url": told["OLLAMA_URL"]}}, default="box", local={"gpu": "none"})
    stack.stackctl("up").ok()
    assert client(stack) == "200"
    stack.stackctl("down").ok()
    stack.stackctl("up").ok()
    stack.stackctl("down").ok()
    stack.compose({"app": app(environment=told, extra_hosts=["gpubox:203.0.113.9"])})
    assert "203.0.113.9" in stack.stackctl("up").ended(1).err


def test_every_replica_is_asked(stack: Project) -> None:
    stack.compose({"ollama": ollama(), "app": app(scale=2)}, volumes=VOLUMES)
    config(stack)
    stack.stackctl("up").ok()
    ids = docker(
        "ps",
        "--quiet",
        "--filter",
        f"label=com.docker.compose.project={stack.name}",
        "--filter",
        "label=com.docker.compose.service=app",
    ).split()
    assert len(ids) == 2
    assert stack.stackctl("status", "--json").ok().json["consumers"][0]["ok"] is True
    for one in ids:
        docker("network", "disconnect", f"{stack.name}_default", one)
        seen = json.loads(stack.stackctl("status", "--json").out)["consumers"][0]
        assert seen["ok"] is False
        docker("network", "connect", "--alias", "app", f"{stack.name}_default", one)


def test_nobody_is_verified_in_a_project_of_which_nothing_runs(stack: Project) -> None:
    stack.compose({"ollama": ollama(), "app": app()}, volumes=VOLUMES)
    config(stack)
    stack.stackctl("up").ok()
    docker("stop", "--time", "0", *(c["Id"] for c in stack.containers().values()))
    seen = stack.stackctl("status", "--json").ok().json
    assert seen["verified"] is None
    assert [c["ok"] for c in seen["consumers"]] == [False]
    assert "verified" not in stack.stackctl("status").ok().out


def test_what_an_app_is_connected_to_is_seen(stack: Project, host_double: Double) -> None:
    """It is told one server, and an address that it keeps itself leads to another."""
    hold = "import socket, time; s = socket.create_connection(('{}', {})); print('held', flush=True); time.sleep(600)"
    stack.compose({"ollama": ollama(), "app": app()}, volumes=VOLUMES)
    config(stack, instances={"other": {"url": f"http://{bridge_address()}:{host_double.port}"}})
    stack.stackctl("up", "local").ok()
    (seen,) = stack.stackctl("status", "--json").ok().json["consumers"]
    assert (seen["told"], seen["uses"], seen["ok"]) == ("http://ollama:11434", None, True)
    docker("exec", "--detach", identity(stack), "python3", "-c", hold.format(bridge_address(), host_double.port))
    double.until(lambda: f":{host_double.port:04X} 01" in stack.exec("app", "cat", "/proc/net/tcp"))
    (seen,) = json.loads(stack.stackctl("status", "--json").out)["consumers"]
    assert (seen["told"], seen["uses"], seen["ok"]) == ("http://ollama:11434", "other", False)
    assert "connected to other" in stack.stackctl("status").out
    docker("exec", "--detach", identity(stack), "python3", "-c", hold.format("ollama", 11434))
    double.until(lambda: ":2CAA 01" in stack.exec("app", "cat", "/proc/net/tcp"))
    (seen,) = stack.stackctl("status", "--json").ok().json["consumers"]
    assert (seen["uses"], seen["ok"]) == ("http://ollama:11434", True)
