"""Which services are Ollama servers, and which only look like one."""

from __future__ import annotations

import pytest

from stackctl.project.discovery.staying import local_of
from tests.project.discovery.conftest import Find, servers, told


@pytest.mark.parametrize(
    "image",
    [
        "ollama/ollama",
        "ollama/ollama:rocm",
        "docker.io/ollama/ollama:0.33.0",
        "registry.lan:5000/mirror/ollama/ollama:latest",
        "ollama/ollama:0.13.5@sha256:" + "0" * 64,
        "ghcr.io/someone/ollama-rocm:6",
        "alpine/ollama",
        "hwdsl2/ollama-server:cuda",
        "quay.io/team/ollama",
        "example/ollama-cpu",
        "ghcr.io/open-webui/open-webui:ollama",
        "ghcr.io/open-webui/open-webui:v0.6-ollama",
    ],
)
def test_by_image(find: Find, image: str) -> None:
    assert servers(find(f"services:\n  brain:\n    image: {image}\n")) == ["brain"]


@pytest.mark.parametrize(
    "image",
    [
        "ghcr.io/open-webui/open-webui:main",
        "ghcr.io/ollama-webui/ollama-webui:main",
        "0001coder/chatollama",
        "fmaclen/hollama",
        "kevinthedang/discord-ollama:0.8",
        "thushan/olla",
        "traefik:v3",
        "nginx",
        "ruecat/ollama-telegram",
        "example/ollama-proxy",
        "lucidrains/ollamark",
        "postgres:16",
    ],
)
def test_not_by_a_name_that_only_contains_it(find: Find, image: str) -> None:
    assert servers(find(f"services:\n  ollama:\n    image: {image}\n    ports: ['11434:11434']\n")) == []


def test_by_the_image_that_it_is_built_from(find: Find) -> None:
    findings = find(
        """\
services:
  brain:
    build: {context: ., dockerfile: brain.Dockerfile, args: {BASE: "registry.lan/ollama/ollama:0.5"}}
""",
        {"brain.Dockerfile": "ARG BASE=debian\nFROM golang AS tools\nFROM ${BASE}\nCOPY . .\n"},
    )
    assert servers(findings) == ["brain"]
    assert findings.ollama_services[0].why == ("built from registry.lan/ollama/ollama:0.5 (brain.Dockerfile)",)


def test_not_by_a_stage_that_only_lends_files(find: Find) -> None:
    findings = find(
        "services:\n  app:\n    build: .\n",
        {"Dockerfile": 'FROM ollama/ollama AS o\nFROM python:3.12\nCMD ["python"]\n'},
    )
    assert servers(findings) == []


def test_by_an_install_script_that_is_started(find: Find) -> None:
    findings = find(
        "services:\n  brain:\n    build: .\n",
        {
            "Dockerfile": 'FROM ubuntu\nRUN curl -fsSL https://ollama.com/install.sh | sh\nCMD ["ollama", "serve"]\n',
        },
    )
    assert servers(findings) == ["brain"]


@pytest.mark.parametrize(
    "command", ["ollama serve", '["/bin/sh", "-c", "ollama serve & sleep 5; ollama pull llama3; wait"]']
)
def test_by_command(find: Find, command: str) -> None:
    assert servers(find(f"services:\n  brain:\n    image: intelanalytics/ipex-llm\n    command: {command}\n")) == [
        "brain"
    ]


def test_by_port_and_volume_when_the_image_says_nothing(find: Find) -> None:
    findings = find("""\
services:
  brain:
    image: registry.lan/team/inference:7
    ports: ["127.0.0.1:11434:11434"]
    volumes: [models:/root/.ollama]
volumes: {models: {}}
""")
    assert servers(findings) == ["brain"]


def test_a_port_alone_is_not_enough(find: Find) -> None:
    assert servers(find("services:\n  front:\n    image: example/front\n    ports: ['11434:11434']\n")) == []


def test_what_is_known_of_a_server(find: Find) -> None:
    findings = find("""\
services:
  llm:
    image: ollama/ollama:rocm
    profiles: [gpu]
    environment: {OLLAMA_HOST: "0.0.0.0:5000"}
    ports: ["127.0.0.1:7869:5000"]
    devices: [/dev/kfd, /dev/dri]
    volumes: ["./models:/root/.ollama"]
    healthcheck: {test: [CMD, ollama, list]}
""")
    server = findings.ollama_services[0]
    assert (server.port, server.active, server.gpu, server.healthcheck) == (5000, False, "amd", "CMD ollama list")
    assert (server.ports, server.volumes, server.evidence) == (
        ("127.0.0.1:7869:5000",),
        ("models:/root/.ollama",),
        "compose.yaml:3",
    )


RESERVED = "deploy: {{resources: {{reservations: {{devices: [{}]}}}}}}"


@pytest.mark.parametrize(
    ("extra", "gpu"),
    [
        (
            "deploy: {resources: {reservations: {devices: [{driver: nvidia, count: all, capabilities: [gpu]}]}}}",
            "nvidia",
        ),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}", "nvidia"),
        ("runtime: nvidia", "nvidia"),
        ("gpus: all", "nvidia"),
        ("devices: [/dev/dri]", "intel"),
        (
            RESERVED.format("{driver: cdi, device_ids: [nvidia.com/gpu=all], capabilities: [gpu]}"),
            "cdi",
        ),
        ("restart: always", "none"),
    ],
)
def test_the_style_of_the_gpu(find: Find, extra: str, gpu: str) -> None:
    assert find(f"services:\n  ollama:\n    image: ollama/ollama\n    {extra}\n").ollama_services[0].gpu == gpu


PULLERS = {
    "own client": """image: ollama/ollama
    environment: [OLLAMA_HOST=ollama:11434]
    entrypoint: /bin/sh
    command: ["-c", "ollama pull llama3.2"]""",
    "argument": """image: ollama/ollama
    environment: {OLLAMA_HOST: "http://ollama:11434"}
    command: pull llama3.2
    restart: "no\"""",
    "script": """image: ollama/ollama
    environment: {OLLAMA_HOST: "http://ollama:11434"}
    entrypoint: [/bin/sh, /init.sh]
    restart: "no\"""",
}


@pytest.mark.parametrize("puller", PULLERS.values(), ids=PULLERS)
def test_a_puller_with_the_image_is_no_server(find: Find, puller: str) -> None:
    findings = find(f"services:\n  fetch:\n    {puller}\n    depends_on: [ollama]\n", server=True)
    assert servers(findings) == ["ollama"]
    assert [(c.service, c.role, c.goes_with_server) for c in findings.consumers] == [("fetch", "model-pull", True)]


def test_a_puller_that_serves_only_itself_is_a_helper(find: Find) -> None:
    findings = find(
        """\
services:
  ollama-downloader:
    image: ollama/ollama
    restart: "no"
    entrypoint: [/usr/bin/bash, /download-entry-point.sh]
    volumes: [models:/root/.ollama]
""",
        server=True,
    )
    assert servers(findings) == ["ollama"]
    assert told(findings) == {}
    assert [h.service for h in findings.helpers] == ["ollama-downloader"]


def test_a_puller_over_the_api(find: Find) -> None:
    findings = find(
        """\
services:
  fetch:
    image: curlimages/curl
    restart: "no"
    depends_on: [ollama]
    entrypoint: [/bin/sh, -c]
    command:
      - |
        until curl -s http://ollama:11434/api/tags; do sleep 1; done
        curl -X POST http://ollama:11434/api/pull -d '{"name": "mistral"}'
""",
        server=True,
    )
    assert told(findings) == {"fetch": {"command:": "{url}/api/tags"}}
    assert findings.consumers[0].role == "model-pull"
    assert findings.models == ("mistral",)


def test_a_service_called_ollama_that_is_a_proxy(find: Find) -> None:
    findings = find(
        """\
services:
  ollama:
    image: traefik:v3
    command: ["--entrypoints.web.address=:11434"]
    volumes: ["./router.yml:/etc/router.yml:ro"]
  ollama-cpu:
    image: ollama/ollama
  app:
    image: example/app
    environment: {API_BASE: "http://ollama:11434"}
""",
        {"router.yml": "servers:\n  - url: http://ollama-cpu:11434\n"},
    )
    assert servers(findings) == ["ollama-cpu"]
    assert told(findings) == {"app": {"env:API_BASE": "{url}"}, "ollama": {"config_file:router.yml": None}}
    assert {c.service: c.role for c in findings.consumers} == {"app": "app", "ollama": "gateway"}


def test_several_servers_are_said_and_the_one_that_runs_is_taken(find: Find) -> None:
    findings = find("""\
services:
  ollama-gpu: {image: ollama/ollama, profiles: [gpu]}
  ollama-cpu: {image: ollama/ollama}
""")
    assert servers(findings) == ["ollama-cpu", "ollama-gpu"]
    assert local_of(findings) == "ollama-cpu"


@pytest.mark.parametrize(
    "text",
    [
        'FROM example/runtime\nWORKDIR /bin\nENTRYPOINT ["./ollama", "serve"]\n',
        'FROM example/runtime\nCMD ["sh", "-c", "./ollama serve"]\n',
        "FROM example/runtime\nCMD ollama serve\n",
        'FROM example/runtime\nCOPY start.sh /\nENTRYPOINT ["/start.sh"]\n',
    ],
)
def test_by_what_its_build_starts(find: Find, text: str) -> None:
    compose = """\
services:
  llm: {image: "example/llm:local", build: {context: ./llm}}
  web: {image: x, environment: {OLLAMA_URL: "http://llm:11434"}}
"""
    findings = find(compose, {"llm/Dockerfile": text, "llm/start.sh": "#!/bin/sh\nexec ollama serve\n"})
    assert servers(findings) == ["llm"]
    assert told(findings) == {"web": {"env:OLLAMA_URL": "{url}"}}


def test_by_who_asks_it_where_nothing_else_says_so(find: Find) -> None:
    findings = find("""\
services:
  brain: {image: example/brain}
  web: {image: x, environment: {OLLAMA_URL: "http://brain:11434"}}
""")
    assert servers(findings) == ["brain"]
    assert "web asks it as an Ollama" in findings.ollama_services[0].why[0]


@pytest.mark.parametrize("image", ["nginx", "ghcr.io/berriai/litellm", "example/ollama-proxy", "postgres"])
def test_who_is_asked_and_passes_on_is_no_server(find: Find, image: str) -> None:
    findings = find(f"""\
services:
  front: {{image: "{image}"}}
  web: {{image: x, environment: {{OLLAMA_URL: "http://front:11434"}}}}
""")
    assert servers(findings) == []
