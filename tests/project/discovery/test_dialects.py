"""How a consumer is told: the shape of the value decides the template."""

from __future__ import annotations

import pytest

from stackctl.project.discovery.config_text import Choices, render_config
from tests.project.discovery.conftest import Find, told

APP = """\
services:
  app:
    image: example/app
    environment:
      {name}: {value}
"""


@pytest.mark.parametrize(
    ("name", "value", "template"),
    [
        ("OLLAMA_BASE_URL", "http://ollama:11434", "{url}"),
        ("OLLAMA_BASE_URL", "http://ollama:11434/", "{url}/"),
        ("OLLAMA_BASE_URL", "http://ollama:11434/v1", "{url}/v1"),
        ("OLLAMA_BASE_URL", "http://ollama:11434/v1/", "{url}/v1/"),
        ("OLLAMA_API_BASE_URL", "http://ollama:11434/api", "{url}/api"),
        ("Mcp__Endpoint", "http://ollama:11434/api/generate", "{url}/api/generate"),
        ("OLLAMA_TAGS_URL", "http://ollama:11434/api/tags", "{url}/api/tags"),
        ("OLLAMA_HOST", "ollama:11434", "{host}:{port}"),
        ("OLLAMA_HOST", "http://ollama:11434", "{url}"),
        ("OLLAMA_HOST", "ollama", "{host}"),
        ("OLLAMA_URL", "http://ollama", "{url}"),
        ("OPENAI_API_BASE", "http://ollama:11434/v1", "{url}/v1"),
        ("OPENAI_BASE_URL", "http://host.docker.internal:11434/v1", "{url}/v1"),
        ("LLM_BASE_URL", "http://192.168.1.20:11434", "{url}"),
        ("AI_ENDPOINT", "https://ollama.example.com/v1", "{url}/v1"),
        ("MODEL_CONFIG_LLAMA", "llama3,http://ollama:11434", "llama3,{url}"),
        ("OLLAMA_BASE_URLS", "http://ollama:11434;http://gpu:11434", "{url}"),
        ("spring.ai.ollama.base-url", "http://ollama:11434", "{url}"),
        ("QUARKUS_LANGCHAIN4J_OLLAMA_BASE-URL", "http://ollama:11434", "{url}"),
        ("ollama_base_url", "http://ollama:11434", "{url}"),
        ("OLLAMAURL", "http://somewhere:8080", "{url}"),
        ("OLLAMA_BASE_URL_1", "http://ollama:11434", "{url}"),
        ("LANGCHAIN_OLLAMA_ENDPOINT", "http://[fd00::7]:11434", "{url}"),
        ("OLLAMA_BASE_URL", "''", "{url}"),
        ("OLLAMA_BASE_URL", "'{OLLAMA_BASE_URL}'", "{url}"),
    ],
)
def test_the_template_keeps_the_shape(find: Find, name: str, value: str, template: str) -> None:
    findings = find(APP.format(name=name, value=f'"{value}"' if not value.startswith("'") else value), server=True)
    assert told(findings) == {"app": {f"env:{name}": template}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_PROVIDER", "ollama"),
        ("OAUTH_CLIENT_ID", "ollama"),
        ("DATABASE_URL", "postgresql://chatollama:chatollama@db:5432/chatollama"),
        ("POSTGRES_DB", "chatollama"),
        ("ENABLE_OLLAMA_API", "false"),
        ("OLLAMA_MODEL", "llama3.2"),
        ("OLLAMA_API_KEY", "ollama"),
        ("OLLAMA_TIMEOUT", "120"),
        ("OLLAMA_KEEP_ALIVE", "5m"),
        ("NO_PROXY", "localhost,ollama,127.0.0.1"),
        ("no_proxy", "ollama:11434"),
        ("CORS_ALLOWED_ORIGINS", "http://ollama:11434"),
        ("SERVICE_URL_OLLAMA_8080", ""),
        ("OPENAI_API_BASE_URL", "http://vllm:8000/v1"),
        ("OPENAI_API_BASE", "https://api.openai.com/v1"),
        ("DEFAULT_MODEL", "ollama/llama3.2:3b"),
        ("LITELLM_MODEL", "ollama_chat/llama3"),
        ("ICON_URL", "https://ollama.com/public/icon.png"),
        ("WHATSAPP_BASE_URL", ""),
        ("APP_URL", "http://localhost:3000"),
        ("OLLAMA_BASE_URL", "/ollama"),
        ("USE_OLLAMA_DOCKER", "true"),
        ("CHATOLLAMA_URL", "http://chat:3000"),
    ],
)
def test_a_decoy_is_no_consumer(find: Find, name: str, value: str) -> None:
    assert told(find(APP.format(name=name, value=f'"{value}"'), server=True)) == {}


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("OLLAMA_HOST", "OLLAMA_PORT"),
        ("OLLAMA_IP", "OLLAMA_PORT"),
        ("LLM_SERVER_HOST_IP", "LLM_SERVER_PORT"),
        ("ROUTER_OLLAMA_HOST", "ROUTER_OLLAMA_PORT"),
        ("Ollama__Host", "Ollama__Port"),
        ("ollama_hostname", "ollama_port"),
    ],
)
def test_host_and_port_in_two_variables(find: Find, host: str, port: str) -> None:
    findings = find(
        f"""\
services:
  app:
    image: example/app
    environment:
      - {host}=ollama
      - {port}=11434
""",
        server=True,
    )
    assert told(findings) == {"app": {f"env:{host}": "{host}", f"env:{port}": "{port}"}}


def test_a_url_without_a_port_beside_the_port(find: Find) -> None:
    findings = find(
        """\
services:
  app:
    image: example/app
    environment: {OLLAMA_URL: "http://ollama", OLLAMA_PORT: "11434", PORT: "11434"}
""",
        server=True,
    )
    assert told(findings) == {"app": {"env:OLLAMA_URL": "{scheme}://{host}", "env:OLLAMA_PORT": "{port}"}}


def test_json_is_a_template_and_a_word_in_braces_is_none(find: Find) -> None:
    findings = find(
        """\
services:
  app:
    image: example/app
    environment:
      LLM_CONFIG: '{"base_url": "http://ollama:11434"}'
      LLM_PATTERN: "http://ollama:11434/{name}"
""",
        server=True,
    )
    assert told(findings) == {"app": {"env:LLM_CONFIG": '{"base_url": "{url}"}', "env:LLM_PATTERN": None}}
    reasons = [s.reason for s in findings.consumers[0].settings if s.template is None]
    assert reasons == ["the value holds a word in braces of its own, which would read as a placeholder"]


def test_user_and_password_of_a_url_are_not_repeated(find: Find) -> None:
    findings = find("""\
services:
  app:
    image: example/app
    environment: {OLLAMA_URL: "https://me:pa55@ollama.example.com/"}
""")
    assert findings.consumers[0].settings[0].value == "https://ollama.example.com/"
    assert "pa55" not in str(findings.document())


def test_an_empty_openai_variable_is_left_alone_and_said(find: Find) -> None:
    findings = find(
        """\
services:
  app:
    image: example/app
    environment:
      OLLAMA_BASE_URL: http://ollama:11434
      OPENAI_BASE_URL: ${OPENAI_BASE_URL}
""",
        server=True,
    )
    assert told(findings) == {"app": {"env:OLLAMA_BASE_URL": "{url}", "env:OPENAI_BASE_URL": None}}
    assert any("OPENAI_BASE_URL" in line for line in findings.ambiguous)


def test_the_value_is_what_compose_resolves_and_the_place_is_where_it_is_written(find: Find) -> None:
    findings = find(
        """\
services:
  app:
    image: example/app
    environment:
      - DEBUG=1
      - OLLAMA_URL=${OLLAMA_URL:-http://host.docker.internal:11434}
""",
        {".env": "OLLAMA_URL=http://ollama:11434\n"},
        server=True,
    )
    setting = findings.consumers[0].settings[0]
    assert (setting.value, setting.evidence, setting.form) == ("http://ollama:11434", "compose.yaml:9", "list")


@pytest.mark.parametrize(
    "value",
    [
        "llama3,http://ollama:11434,${KEY}",
        "http://ollama:11434/v1?api_key=${KEY}",
        "http://me:${KEY}@ollama:11434",
    ],
)
def test_a_secret_beside_the_address_is_not_copied(find: Find, value: str) -> None:
    secret = "sk-" + "Zq7" * 8
    findings = find(
        f"""\
services:
  app:
    image: x
    environment: {{LLM_CONFIG: "{value}"}}
    command: [--key, "${{KEY}}", --llm, "http://ollama:11434"]
""",
        {".env": f"KEY={secret}\n"},
        server=True,
    )
    assert secret not in str(findings.document())
    assert secret not in render_config(findings, Choices())
    assert findings.consumers[0].arguments == ()
