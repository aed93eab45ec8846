"""Which proxy a client takes, by the dialects that were measured."""

from __future__ import annotations

import pytest

from stackctl.config.url import OllamaUrl
from stackctl.project.proxyrules import chosen

NAME, ADDRESS = OllamaUrl("http", "ollama", 11434), OllamaUrl("http", "172.30.1.2", 11434)
PROXY = {"http_proxy": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("exceptions", "url", "captured", "near"),
    [
        ("", NAME, True, ""),
        ("ollama", NAME, False, ""),
        (".ollama", NAME, False, ""),
        ("*", NAME, False, ""),
        ("localhost, OLLAMA", NAME, False, ""),
        ("172.30.0.0/16", ADDRESS, True, "172.30.0.0/16"),
        ("172.30.0.0/16", NAME, True, "172.30.0.0/16"),
        ("localhost,127.0.0.1,::1", NAME, True, ""),
        ("10.0.0.0/8,192.168.0.0/16", NAME, True, ""),
        ("ollama:11434", NAME, True, "ollama:11434"),
        ("172.30.1.*", ADDRESS, True, "172.30.1.*"),
        ("172.30.1.2", ADDRESS, False, ""),
    ],
)
def test_exceptions(exceptions: str, url: OllamaUrl, captured: bool, near: str) -> None:
    proxy = chosen({**PROXY, "no_proxy": exceptions}, url, ["172.30.1.2"])
    assert (proxy is not None) == captured
    assert (proxy.near_miss if proxy else "") == near


def test_no_proxy_variable_means_no_proxy() -> None:
    assert chosen({"https_proxy": "http://proxy:3128"}, NAME) is None


@pytest.mark.parametrize("value", ["http://", "::::", "http://[bad", " "])
def test_nonsense_is_no_proxy(value: str) -> None:
    found = chosen({"http_proxy": value}, NAME)
    assert found is None or found.host
