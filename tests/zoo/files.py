"""From a scenario to the files of its project. Pure: nothing is written here."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.support.project import BUSYBOX
from tests.zoo.scenario import Consumer, Scenario
from tests.zoo.servers import SERVER, Servers, named

PYTHON = "stackctl.local/python:base"
PROXY_PORT = 3128
_STAY = {"python": ["python3", "-c", "import time; time.sleep(1e9)"], "busybox": ["sh", "-c", "sleep 100000", "app"]}
_IMAGES = {"python": PYTHON, "busybox": BUSYBOX}


def service(number: int) -> str:
    """The name of a consumer's service."""
    return f"app{number}"


def rendered(s: Scenario, project: str, servers: Servers, port: int) -> dict[str, str]:
    """Every file of the project; ``port`` is free on this machine, for a published server."""
    services = _home(s, port)
    files = {"certs/ca.pem": servers.ca.read_text()}
    secrets: dict[str, Any] = {}
    for number, consumer in enumerate(s.consumers):
        base = _address(s, consumer, port)
        services[service(number)] = _consumer(s, consumer, base, number, servers)
        if consumer.form == "env_file":
            files[f"app{number}.env"] = f"OLLAMA_BASE_URL={base}\n"
        elif consumer.form == "file":
            files[f"app{number}.toml"] = f'base_url = "{base}"\n'
        elif consumer.form == "secret":
            files[f"app{number}_url.txt"] = f"{base}\n"
            secrets[f"app{number}_url"] = {"file": f"app{number}_url.txt"}
    services |= _others(s)
    top: dict[str, Any] = {"name": project, "services": services}
    networks: dict[str, Any] = {}
    if any(c.place == "internal" for c in s.consumers):
        networks["inner"] = {"internal": True}
    if s.target == "neighbour":
        networks["shared"] = {"external": True, "name": servers.network}
    if networks:
        top["networks"] = {"default": {}, **networks}
    if secrets:
        top["secrets"] = secrets
    return files | _in_files(s, top)


def environment(s: Scenario) -> dict[str, str]:
    """The shell's environment with which a person starts this project, and adopts it."""
    return {"COMPOSE_FILE": "compose.yaml:prod.yaml"} if s.files == "chosen" else {}


def _home(s: Scenario, port: int) -> dict[str, Any]:
    server: dict[str, Any] = {"image": SERVER, "environment": named("local")}
    if s.home == "published":
        server["ports"] = [f"127.0.0.1:{port}:11434"]
    if any(c.place == "internal" for c in s.consumers):
        server["networks"] = ["default", "inner"]
    if s.home != "namespace":
        return {"ollama": server}
    tunnel = {"image": BUSYBOX, "init": True, "command": ["sleep", "100000"]}
    return {"tunnel": tunnel, "ollama": {**server, "network_mode": "service:tunnel"}}


def _address(s: Scenario, c: Consumer, port: int) -> str:
    if c.place == "host":
        return f"http://127.0.0.1:{port}"
    if c.place == "shared":
        return "http://127.0.0.1:11434"
    return "http://tunnel:11434" if s.home == "namespace" else "http://ollama:11434"


def _consumer(s: Scenario, c: Consumer, base: str, number: int, servers: Servers) -> dict[str, Any]:
    made: dict[str, Any] = {"image": _IMAGES[c.runtime], "init": True, "command": [*_STAY[c.runtime]]}
    env: dict[str, str] = {}
    if c.form == "env":
        env["OLLAMA_URL"] = base
    elif c.form == "env_file":
        made["env_file"] = [f"app{number}.env"]
    elif c.form == "parts":
        env["OLLAMA_HOST"], _, env["OLLAMA_PORT"] = base.removeprefix("http://").rpartition(":")
    elif c.form == "v1":
        env["OPENAI_API_BASE"] = f"{base}/v1"
    elif c.form == "endpoint":
        env["OLLAMA_ENDPOINT"] = f"{base}/api/generate"
    elif c.form == "composite":
        env["LLM_SETTINGS"] = json.dumps({"provider": "ollama", "url": base})
    elif c.form == "command":
        made["command"] += ["--ollama-url", base]
    elif c.form == "secret":
        env["OLLAMA_URL_FILE"] = f"/run/secrets/app{number}_url"
        made["secrets"] = [f"app{number}_url"]
    else:
        made["volumes"] = [f"./app{number}.toml:/etc/app.toml:ro"]
    if c.proxy:
        names = "localhost,127.0.0.1,ollama,tunnel"
        env |= dict.fromkeys(("HTTP_PROXY", "http_proxy"), f"http://proxy:{PROXY_PORT}")
        env |= dict.fromkeys(("NO_PROXY", "no_proxy"), names)
    if c.trusts:
        env["SSL_CERT_FILE"] = "/etc/zoo-ca.pem"
        made.setdefault("volumes", []).append("./certs/ca.pem:/etc/zoo-ca.pem:ro")
    if env:
        made["environment"] = env
    if c.depends != "none":
        made["depends_on"] = ["ollama"] if c.depends == "list" else {"ollama": {"condition": "service_started"}}
    if c.profile:
        made["profiles"] = ["batch"]
    if c.replicas > 1:
        made["deploy"] = {"replicas": c.replicas}
    if c.place in ("host", "shared"):
        made["network_mode"] = "host" if c.place == "host" else "service:tunnel"
    elif c.place == "internal":
        made["networks"] = ["inner"]
    elif s.target == "neighbour":
        made["networks"] = ["default", "shared"]
    return made


def _others(s: Scenario) -> dict[str, Any]:
    idle = {"image": BUSYBOX, "init": True, "command": ["sleep", "100000"]}
    others: dict[str, Any] = {}
    if any(c.proxy for c in s.consumers):
        others["proxy"] = {"image": PYTHON, "init": True, "command": ["python3", "-m", "http.server", str(PROXY_PORT)]}
    if s.bystander == "database":
        others["database"] = idle
    elif s.bystander == "sharer" and s.consumers[0].place == "own" and s.consumers[0].replicas == 1:
        others["sharer"] = {**idle, "network_mode": f"service:{service(0)}"}
        if s.consumers[0].profile:
            others["sharer"]["profiles"] = ["batch"]
    return others


def _in_files(s: Scenario, top: dict[str, Any]) -> dict[str, str]:
    """The project in one file, or with the environment of its services in a second one."""
    if s.files == "one":
        return {"compose.yaml": yaml.safe_dump(top, sort_keys=False)}
    services = top["services"]
    later = {
        n: x if n == "database" else {"environment": x["environment"]} for n, x in services.items() if _later(n, x)
    }
    first = {n: {k: v for k, v in x.items() if k != "environment"} for n, x in services.items() if n != "database"}
    other = "compose.override.yaml" if s.files == "override" else "prod.yaml"
    return {
        "compose.yaml": yaml.safe_dump({**top, "services": first}, sort_keys=False),
        other: yaml.safe_dump({"services": later}, sort_keys=False),
    }


def _later(name: str, service: dict[str, Any]) -> bool:
    return name == "database" or "environment" in service
