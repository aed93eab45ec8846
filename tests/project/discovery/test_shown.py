"""Variables that only an environment file or its example shows, and whose they are."""

from __future__ import annotations

from tests.project.discovery.conftest import Find, told


def test_of_services_that_share_a_file_those_whose_source_names_the_variable(find: Find) -> None:
    findings = find(
        """\
services:
  api: {build: ./api, env_file: .env}
  web: {build: ./web, env_file: .env}
  beat: {build: ./api, env_file: .env}
""",
        {
            ".env": "",
            ".env.example": "CHAT_OLLAMA_URL=http://localhost:11434\nEMBED_OLLAMA_URL=http://localhost:11434\n",
            "api/Dockerfile": "FROM python\n",
            "api/src/llm/client.py": 'url = os.environ["CHAT_OLLAMA_URL"]\n',
            "api/tests/test_client.py": '"EMBED_OLLAMA_URL"\n',
            "web/Dockerfile": "FROM node\n",
            "web/index.js": "fetch('/api')\n",
        },
    )
    assert told(findings) == {"api": {"env_file:CHAT_OLLAMA_URL": "{url}"}}


def test_an_example_adds_nothing_to_a_service_that_is_told_already(find: Find) -> None:
    findings = find(
        """\
services:
  api:
    image: example/api
    env_file: .env
    environment: {OLLAMA_URL: "http://ollama:11434"}
""",
        {".env": "", ".env.example": "OLLAMA_HOST=http://localhost:11434\n"},
        server=True,
    )
    assert told(findings) == {"api": {"env:OLLAMA_URL": "{url}"}}


def test_references_within_an_example_are_filled_in(find: Find) -> None:
    findings = find(
        "services:\n  api: {image: example/api, env_file: .env}\n",
        {
            ".env": "",
            ".env.example": (
                "CONTAINER=ollama\nMODEL_PORT=11434\nOLLAMA_URL=http://${CONTAINER}:${MODEL_PORT}/v1\n"
                "OLLAMA_API_URL=http://${SOMEWHERE_ELSE}:1\n"
            ),
        },
        server=True,
    )
    assert told(findings) == {"api": {"env_file:OLLAMA_URL": "{url}/v1"}}


def test_a_remark_right_behind_the_value_is_none_of_it(find: Find) -> None:
    findings = find(
        "services:\n  api: {image: example/api, env_file: .env}\n",
        {".env": "", ".env.example": "OLLAMA_URL=http://ollama:11434# or http://localhost:11434 outside\n"},
        server=True,
    )
    assert told(findings) == {"api": {"env_file:OLLAMA_URL": "{url}"}}


def test_a_known_app_reads_its_own_variables_of_a_shared_example(find: Find) -> None:
    findings = find(
        """\
services:
  worker: {image: timescale/pgai-vectorizer-worker, env_file: .env}
  flows: {image: n8nio/n8n, env_file: .env}
""",
        {".env": "", ".env.example": "OLLAMA_HOST=http://ollama:11434\nCHAT_OLLAMA_URL=http://ollama:11434\n"},
        server=True,
    )
    assert told(findings)["worker"] == {"env_file:OLLAMA_HOST": "{url}"}
    assert told(findings)["flows"] == {"none-visible:": None}


def test_the_example_of_a_missing_configuration_file(find: Find) -> None:
    findings = find(
        "services:\n  app: {image: example/app, volumes: ['./config.yaml:/app/config.yaml:ro']}\n",
        {"config.example.yaml": "ollama_url: http://ollama:11434\n"},
        server=True,
    )
    assert told(findings) == {"app": {"config_file:config.example.yaml": None}}


def test_a_url_under_ollamas_name_needs_no_word_for_address(find: Find) -> None:
    findings = find(
        """\
services:
  api:
    image: example/api
    environment: {OLLAMA_PRIMARY: "http://gpu.lan:13000", OLLAMA_WORKER_2: "http://gpu.lan:13001"}
"""
    )
    assert told(findings) == {"api": {"env:OLLAMA_PRIMARY": "{url}", "env:OLLAMA_WORKER_2": "{url}"}}


def test_a_bare_address_keeps_its_shape(find: Find) -> None:
    findings = find("services:\n  api: {image: example/api, environment: {ollama_IP: 172.19.0.6}}\n")
    assert told(findings) == {"api": {"env:ollama_IP": "{host}"}}


def test_an_app_is_known_by_the_image_that_it_is_built_from(find: Find) -> None:
    findings = find(
        "services:\n  chat: {build: ./chat}\n",
        {"chat/Dockerfile": "ARG TAG=main\nFROM ghcr.io/open-webui/open-webui:${TAG}\n"},
    )
    assert told(findings) == {"chat": {"none-visible:OLLAMA_BASE_URL": "{url}"}}


def test_a_network_or_a_server_that_is_commented_out_hints_at_ollama(find: Find) -> None:
    by_network = """\
services:
  n8n: {image: n8nio/n8n, networks: [ollama-net]}
networks: {ollama-net: {external: true}}
"""
    by_comment = """\
services:
  n8n: {image: n8nio/n8n}
  # ollama:
  #   image: ollama/ollama
"""
    assert [told(find(text)) for text in (by_network, by_comment)] == [{"n8n": {"none-visible:": None}}] * 2


def test_a_url_whose_host_is_not_set_is_told_all_the_same(find: Find) -> None:
    findings = find(
        """\
services:
  api:
    image: example/api
    environment: {OLLAMA_API_BASE: "http://${HOST_IP}:11434/v1", OLLAMA_URL: "http://${HOST_IP}:${HOST_PORT}"}
"""
    )
    assert told(findings) == {"api": {"env:OLLAMA_API_BASE": "{url}/v1", "env:OLLAMA_URL": "{url}"}}
