"""What holds an address of an Ollama and is no consumer of it."""

from __future__ import annotations

import pytest

from tests.project.discovery.conftest import Find, servers, told


def test_who_only_watches_or_links_is_no_consumer(find: Find) -> None:
    findings = find(
        """\
services:
  metrics:
    image: prom/prometheus
    volumes: [./metrics.yml:/etc/prometheus/prometheus.yml]
  links:
    image: lissy93/dashy
    volumes: [./links.yml:/app/conf.yml]
    environment: {HOMEPAGE_VAR_OLLAMA_URL: http://ollama:11434}
""",
        {"metrics.yml": "targets: ['ollama:11434']\n", "links.yml": "url: http://localhost:11434\n"},
        server=True,
    )
    assert told(findings) == {}


@pytest.mark.parametrize(
    "text",
    [
        "listen: 0.0.0.0:11434\n",
        "bind 127.0.0.1:11434\n",
        "ports: ['11434:11434']\n",
        "upstream ollama_pool {\n  server backend:9000;\n}\nproxy_pass http://ollama_pool;\n",
    ],
    ids=["any address", "loopback", "published port", "name of an upstream"],
)
def test_in_a_mounted_file_what_is_no_address_to_call(find: Find, text: str) -> None:
    findings = find(
        "services:\n  app: {image: example/app, volumes: ['./app.conf:/etc/app.conf']}\n", {"app.conf": text}
    )
    assert told(findings) == {}


def test_of_a_mounted_source_tree_tests_and_defaults_and_data_do_not_count(find: Find) -> None:
    findings = find(
        """\
services:
  app:
    build: ./app
    volumes: [./app:/app]
""",
        {
            "app/Dockerfile": "FROM python:3.12\n",
            "app/tests/test_client.py": 'base_url = "http://localhost:11434"\n',
            "app/client_test.go": 'var ollamaURL = "http://ollama:11434"\n',
            "app/settings.py": 'class Settings(BaseSettings):\n    ollama_url: str = "http://ollama:11434"\n',
            "app/deploy.sh": "curl http://ollama:11434/api/tags\n",
            "app/flows/rag.json": '{"baseUrl": "http://ollama:11434"}\n',
            "app/compose.yaml": "services:\n  ollama: {ports: ['11434:11434']}\n",
        },
    )
    assert told(findings) == {}


def test_of_a_mounted_source_tree_its_configuration_counts(find: Find) -> None:
    findings = find(
        """\
services:
  app:
    build: ./app
    volumes: [./app:/app]
""",
        {"app/Dockerfile": "FROM python:3.12\n", "app/config/llm.json": '{"url": "http://ollama:11434"}\n'},
        server=True,
    )
    assert told(findings) == {"app": {"config_file:app/config/llm.json": None}}


def test_a_program_with_the_address_written_in_it(find: Find) -> None:
    findings = find(
        "services:\n  app: {image: python, volumes: ['./src:/src']}\n",
        {"src/ask.py": 'MODEL_URL = "http://ollama:11434/api/generate"\nhint = "http://ollama:11434"\n'},
        server=True,
    )
    assert told(findings) == {"app": {"hardcoded:MODEL_URL": None}}


def test_a_default_that_goes_on_over_lines_is_no_hard_coded_address(find: Find) -> None:
    text = 'OLLAMA = (\n    os.environ.get("MODEL_SERVER")\n    or "http://ollama:11434"\n)\n'
    findings = find("services:\n  app: {image: python, volumes: ['./src:/src']}\n", {"src/a.py": text}, server=True)
    assert told(findings) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OLLAMA_INSTALL_URL", "https://ollama.com/install.sh"),
        ("OLLAMA_DB_HOST", "store:5432"),
        ("OLLAMA_QUEUE_URL", "http://store:5432"),
        ("OLLAMA_MODELS", "http://mirror.lan/models"),
    ],
)
def test_variables_of_that_name_that_lead_elsewhere(find: Find, name: str, value: str) -> None:
    findings = find(
        f"""\
services:
  app: {{image: example/app, environment: {{{name}: "{value}"}}}}
  store: {{image: "postgres:17"}}
"""
    )
    assert told(findings) == {}


def test_an_empty_openai_endpoint_beside_an_ollama_is_openais_own(find: Find) -> None:
    findings = find(
        """\
services:
  app:
    image: example/app
    environment: {OLLAMA_URL: "http://ollama:11434", OPENAI_BASE_URL: "${OPENAI_BASE_URL:-}"}
""",
        server=True,
    )
    assert told(findings) == {"app": {"env:OLLAMA_URL": "{url}"}}


def test_a_vector_database_asks_ollama_where_its_module_is_on(find: Find) -> None:
    findings = find(
        """\
services:
  on: {image: "semitechnologies/weaviate", environment: {ENABLE_MODULES: "text2vec-ollama,backup-s3"}}
  off: {image: "semitechnologies/weaviate", environment: {ENABLE_MODULES: "text2vec-openai"}}
""",
        server=True,
    )
    assert told(findings) == {"on": {"none-visible:": None}}


def test_an_image_with_an_ollama_of_its_own_may_ask_another(find: Find) -> None:
    findings = find(
        """\
services:
  webui:
    image: ghcr.io/open-webui/open-webui:ollama
    environment: {OLLAMA_BASE_URL: "http://ollama:11434"}
""",
        server=True,
    )
    assert told(findings) == {"webui": {"env:OLLAMA_BASE_URL": "{url}"}}
    assert servers(findings) == ["ollama", "webui"]


def test_the_public_name_of_a_proxy_is_none_to_call(find: Find) -> None:
    findings = find(
        """\
services:
  proxy: {image: "caddy:2", environment: {OLLAMA_HOSTNAME: ollama.example.com}}
  app: {image: example/app, environment: {OLLAMA_DOMAIN: ollama.example.com}}
"""
    )
    assert told(findings) == {}
