"""What a value most likely means, and what is wrong with its text."""

from __future__ import annotations

import pytest

from stackctl.config.url import is_private
from stackctl.diagnose.url_text import read

CASES = [
    ("OLLAMA_BASE_URL", "http://ollama:11434", "http://ollama:11434", set()),
    ("OLLAMA_BASE_URL", "http://ollama:11434/", "http://ollama:11434", {"url.slash"}),
    ("OLLAMA_BASE_URL", '"http://ollama:11434"', "http://ollama:11434", {"value.quoted"}),
    ("OLLAMA_BASE_URL", "http://ollama:11434 # here", "http://ollama:11434", {"value.comment"}),
    ("OLLAMA_BASE_URL", "http://ollama:11434\r", "http://ollama:11434", {"value.space"}),
    ("OLLAMA_BASE_URL", "ollama:11434", "http://ollama:11434", {"value.no_scheme"}),
    ("OLLAMA_HOST", "ollama:11434", "http://ollama:11434", {"value.host_port"}),
    ("OLLAMA_HOST", "ollama", "http://ollama:11434", {"value.host_port"}),
    ("OLLAMA_HOST", "0.0.0.0", "http://0.0.0.0:11434", {"url.zero"}),
    ("OLLAMA_BASE_URL", "http://gpu.lan", "http://gpu.lan", {"url.port_omitted"}),
    ("OLLAMA_BASE_URL", "http://ollama:11434/v1", "http://ollama:11434", {"url.v1"}),
    ("OPENAI_API_BASE_URL", "http://ollama:11434", "http://ollama:11434", {"url.openai_bare"}),
    ("OLLAMA_BASE_URL", "http://ollama:11434/api/chat", "http://ollama:11434", {"url.endpoint"}),
    ("OLLAMA_BASE_URL", "https://gpu.lan/ollama", "https://gpu.lan/ollama", {"url.prefix"}),
    ("OLLAMA_BASE_URL", "http://u:p@gpu.lan:11434", "http://gpu.lan:11434", {"url.userinfo"}),
    ("OLLAMA_BASE_URL", "http://gpu.local:11434", "http://gpu.local:11434", {"url.mdns"}),
    ("OLLAMA_BASE_URL", "http://[::1]:11434", "http://[::1]:11434", {"url.loopback"}),
    ("VITE_OLLAMA_URL", "http://ollama:11434", "http://ollama:11434", {"client.browser"}),
]


@pytest.mark.parametrize(("variable", "value", "url", "marks"), CASES, ids=[f"{c[0]}={c[1]}" for c in CASES])
def test_value(variable: str, value: str, url: str, marks: set[str]) -> None:
    (setting,) = read("app", variable, value)
    assert str(setting.url) == url
    assert marks <= setting.marks


def test_blank_value_has_no_url() -> None:
    (setting,) = read("app", "OLLAMA_BASE_URL", "  ")
    assert setting.url is None
    assert "value.blank" in setting.marks


def test_list_is_split() -> None:
    setting = read("app", "OLLAMA_BASE_URLS", "http://a:11434;http://b:11434")
    assert [str(t.url) for t in setting] == ["http://a:11434", "http://b:11434"]


@pytest.mark.parametrize("value", ["http://", "ftp://x", "http://a:99999", "http://[", "://", "\x00"])
def test_nonsense_is_read_without_raising(value: str) -> None:
    assert all(t.url is None or t.url.host for t in read("app", "OLLAMA_BASE_URL", value))


def test_template_that_copies_the_fault_does_not_excuse_it() -> None:
    (setting,) = read("app", "OLLAMA_BASE_URL", "ollama:11434", template="{host}:{port}")
    assert "value.no_scheme" in setting.marks


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("192.168.1.5", True),
        ("100.64.0.7", True),
        ("fd00::1", True),
        ("gpu.lan", True),
        ("host.docker.internal", True),
        ("llm", True),
        ("8.8.8.8", False),
        ("api.openai.com", False),
        ("openrouter.ai", False),
    ],
)
def test_a_host_of_one_s_own(host: str, private: bool) -> None:
    assert is_private(host) is private
