"""Addresses of Ollama servers: what is taken, and what is refused with the line to paste."""

from __future__ import annotations

import pytest

from stackctl.config.url import OllamaUrl, UrlError


@pytest.mark.parametrize(
    ("text", "told", "port"),
    [
        ("http://h", "http://h", 80),
        ("https://h", "https://h", 443),
        ("http://h:11434", "http://h:11434", 11434),
        ("http://h:80/", "http://h", 80),
        ("https://h:443", "https://h", 443),
        ("https://h:80", "https://h:80", 80),
        ("HTTP://Cuda.LOCAL:11434", "http://cuda.local:11434", 11434),
        ("http://192.168.1.5:11434/", "http://192.168.1.5:11434", 11434),
        ("http://[fd00::1]:11434", "http://[fd00::1]:11434", 11434),
        ("http://[::1]", "http://[::1]", 80),
        ("https://h.example/ollama/", "https://h.example/ollama", 443),
        ("https://h.example/a/b//", "https://h.example/a/b", 443),
        ("http://my_box:1", "http://my_box:1", 1),
        ("http://h.:1", "http://h.:1", 1),
        ("http://h/apis", "http://h/apis", 80),
        ("http://h/v1beta", "http://h/v1beta", 80),
    ],
)
def test_taken(text: str, told: str, port: int) -> None:
    url = OllamaUrl.parse(text)
    assert str(url) == told
    assert url.port == port
    assert OllamaUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box:8080", "http://gpu-box:8080"),
        ("gpu-box/ollama", "http://gpu-box:11434/ollama"),
        ("192.168.1.5", "http://192.168.1.5:11434"),
        ("[fd00::1]:11434", "http://[fd00::1]:11434"),
        ("localhost:11434/api/tags", "http://localhost:11434"),
        ("user:pw@h:11434", "http://h:11434"),
        ("//h:11434", "http://h:11434"),
        ("http:/h:11434", "http://h:11434"),
        ("https//h", "https://h"),
        ("http://http://h:11434", "http://h:11434"),
        ("wss://h:1", "https://h:1"),
        ("tcp://h:11434", "http://h:11434"),
        ("ftp://u:p@h:1/api/chat", "http://h:1"),
        ("http://u:p@h:1/api", "http://h:1"),
        ("http://u:p@ss@h:1/", "http://h:1"),
        ("http://h/ollama/api/generate", "http://h/ollama"),
        ("http://h/v1/chat/completions/", "http://h"),
        ("http://h:1?x=1#y", "http://h:1"),
        ("http://h:0", "http://h:11434"),
        (" http://h:1\n", "http://h:1"),
        ("unix:///var/run/ollama.sock", ""),
        ("http://", ""),
        ("http://h:99999", "http://h:11434"),
        ("http://300.1.1.1", ""),
        ("http://h//x", ""),
        ("http://a b c", "http://abc"),
    ],
)
def test_refused_with_the_correction(text: str, corrected: str) -> None:
    with pytest.raises(UrlError) as caught:
        OllamaUrl.parse(text)
    assert caught.value.corrected == corrected
    if corrected:
        assert str(OllamaUrl.parse(corrected)) == corrected


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]", "0.0.0.0", "[::]"])
def test_loopback(host: str) -> None:
    assert OllamaUrl.parse(f"http://{host}:1").is_loopback


@pytest.mark.parametrize("host", ["localhost.example", "10.0.0.1", "host.docker.internal", "[fe80::1]"])
def test_not_loopback(host: str) -> None:
    assert not OllamaUrl.parse(f"http://{host}:1").is_loopback
