"""Consumers of which the Compose files show nothing: the table of apps, and services that wait for Ollama."""

from __future__ import annotations

import pytest
import yaml

from stackctl.project.discovery import apps
from stackctl.project.discovery.staying import settled
from tests.project.discovery.conftest import Find, told


def test_every_entry_of_the_table_is_of_the_form() -> None:
    for app in apps.table():
        assert app.app
        assert app.images
        assert all("{" in t for t in app.env.values()), app.app
        assert app.env or app.click or app.config or app.browser or app.keeps, app.app


def test_an_entry_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="Thing: unset is one of client, hint, no"):
        apps.entry(yaml.safe_load("{app: Thing, images: [a/b], unset: perhaps}"))


def test_a_known_app_whose_variable_is_not_set(find: Find) -> None:
    findings = find("services:\n  ui: {image: ghcr.io/open-webui/open-webui:main}\n", server=True)
    consumer = findings.consumers[0]
    assert told(findings) == {"ui": {"none-visible:OLLAMA_BASE_URL": "{url}"}}
    assert consumer.keeps
    assert "database" in consumer.notes[0]


def test_an_app_that_is_told_in_its_own_pages(find: Find) -> None:
    findings = find("services:\n  flows: {image: n8nio/n8n}\n", server=True)
    assert told(findings) == {"flows": {"none-visible:": None}}
    assert "Credentials > Ollama account > Base URL" in str(findings.consumers[0].reason)


def test_an_app_of_many_providers_needs_a_hint(find: Find) -> None:
    assert told(find("services:\n  flows: {image: n8nio/n8n}\n")) == {}
    hinted = find("services:\n  flows: {image: n8nio/n8n, extra_hosts: ['host.docker.internal:host-gateway']}\n")
    assert told(hinted) == {"flows": {"none-visible:": None}}


@pytest.mark.parametrize(
    "environment",
    [
        "{ENABLE_OLLAMA_API: 'false'}",
        "{ENABLE_OLLAMA_API: 'false', OLLAMA_BASE_URL: 'http://ollama:11434'}",
        "{OPENAI_API_BASE_URL: 'http://vllm:8000/v1'}",
    ],
)
def test_an_app_that_was_sent_elsewhere(find: Find, environment: str) -> None:
    findings = find(
        f"services:\n  ui: {{image: ghcr.io/open-webui/open-webui, environment: {environment}}}\n", server=True
    )
    assert told(findings) == {}


@pytest.mark.parametrize("value", ["http://brain:8000", "http://db:9000/x"])
def test_what_is_set_is_never_called_unset(find: Find, value: str) -> None:
    """Neither offered as a variable to set, nor as one that an example of it could fill."""
    findings = find(
        f"""\
services:
  brain: {{image: example/brain}}
  db: {{image: postgres}}
  ui:
    image: ghcr.io/open-webui/open-webui
    environment: {{OLLAMA_BASE_URL: "{value}"}}
""",
        {".env.example": "OLLAMA_BASE_URL=http://ollama:11434\n"},
        server=True,
    )
    (setting,) = settled(findings, "ollama").consumers[0].settings
    assert (setting.kind, setting.value, setting.template) == ("env", value, None)
    assert setting.reason


def test_a_line_that_is_commented_out(find: Find) -> None:
    findings = find(
        """\
services:
  ui:
    image: example/ui
    depends_on: [ollama]
    environment:
      - LOG=1
      # - OLLAMA_URL=http://ollama:11434
""",
        server=True,
    )
    assert told(findings) == {"ui": {"none-visible:OLLAMA_URL": "{url}"}}
    assert findings.consumers[0].settings[0].evidence == "compose.yaml:10"


def test_a_service_that_waits_for_ollama_and_shows_nothing(find: Find) -> None:
    findings = find(
        "services:\n  app: {build: ., depends_on: [ollama]}\n  db: {image: postgres, depends_on: [ollama]}\n",
        server=True,
    )
    assert told(findings) == {"app": {"none-visible:": None}}
    assert "waits for ollama" in str(findings.consumers[0].reason)


def test_a_browser_side_client(find: Find) -> None:
    findings = find("services:\n  ollama-gui: {build: .}\n", server=True)
    assert "browser calls Ollama" in str(findings.consumers[0].reason)


def test_an_empty_endpoint_of_no_named_provider_is_only_possible(find: Find) -> None:
    findings = find("services:\n  app: {image: x, environment: {AGENT_MODEL_BASE_URL: '${AGENT_MODEL_BASE_URL:-}'}}\n")
    assert told(findings) == {"app": {"env:AGENT_MODEL_BASE_URL": None}}
    assert findings.ambiguous


def test_a_variable_in_the_example_for_a_service_that_waits(find: Find) -> None:
    findings = find(
        "services:\n  api: {build: ., depends_on: [ollama]}\n",
        {".env.example": "OLLAMA_HOST=0.0.0.0\nOLLAMA_URL=http://ollama:11434\n"},
        server=True,
    )
    assert told(findings) == {"api": {"none-visible:OLLAMA_URL": "{url}"}}
