"""TLS towards instances: a private authority, names, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.gatewaylab import Lab, certificate, eventually


@pytest.fixture(scope="module")
def authority() -> tuple[str, str]:
    return certificate("stackctl test authority")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, authority: tuple[str, str]) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("gateway"), {})
    try:
        made.start()
        cert, key = certificate("secure", names="DNS:secure,DNS:llm.example.com", signed_by=authority)
        made.upstream("secure", CERT=cert, KEY=key)
        yield made
    finally:
        made.close()


def reach(lab: Lab, instance: dict[str, Any], pem: str | None = None) -> httpx.Response:
    lab.configure({"instances": {"x": instance}})
    lab.switch("x", ca={"x": pem} if pem else None)
    return httpx.post(f"{lab.url}/api/chat", json={}, timeout=20)


URL = "https://secure:11434"


def test_private_authority(lab: Lab, authority: tuple[str, str]) -> None:
    answer = reach(lab, {"url": URL, "tls": {"ca_file": "ca.pem"}}, authority[0])
    assert (answer.status_code, answer.json()["name"]) == (200, "secure")
    eventually(lambda: lab.state().instances[0].why.startswith("L7OK"))


def test_unknown_authority(lab: Lab) -> None:
    assert reach(lab, {"url": URL}).status_code == 503
    eventually(lambda: lab.state().instances[0].why.startswith("L6RSP"))


def test_another_authority(lab: Lab) -> None:
    other = certificate("another authority")[0]
    assert reach(lab, {"url": URL, "tls": {"ca_file": "ca.pem"}}, other).status_code == 503


def test_server_name(lab: Lab, authority: tuple[str, str]) -> None:
    good = {"ca_file": "ca.pem", "server_name": "llm.example.com"}
    assert reach(lab, {"url": URL, "tls": good}, authority[0]).status_code == 200
    bad = {"ca_file": "ca.pem", "server_name": "other.example.com"}
    assert reach(lab, {"url": URL, "tls": bad}, authority[0]).status_code == 503


def test_not_verified_on_request(lab: Lab) -> None:
    assert reach(lab, {"url": URL, "tls": {"verify": False}}).status_code == 200


def test_by_address(lab: Lab, authority: tuple[str, str]) -> None:
    url = f"https://{lab.address('secure')}:11434"
    assert reach(lab, {"url": url, "tls": {"ca_file": "ca.pem"}}, authority[0]).status_code == 200
    assert reach(lab, {"url": url}).status_code == 503
    named = {"ca_file": "ca.pem", "server_name": "secure"}
    assert reach(lab, {"url": url, "tls": named}, authority[0]).status_code == 200


def test_plain_http_to_a_tls_port(lab: Lab) -> None:
    answer = reach(lab, {"url": URL.replace("https", "http")})
    assert answer.status_code == 502


def test_old_certificates_are_cleared_away(lab: Lab, authority: tuple[str, str]) -> None:
    reach(lab, {"url": URL, "tls": {"ca_file": "ca.pem"}}, authority[0])
    reach(lab, {"url": URL, "tls": {"verify": False}})
    assert "ca-" not in lab.exec(["sh", "-c", "ls /var/lib/haproxy"]).text
