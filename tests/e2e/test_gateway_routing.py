"""What reaches an instance through the gateway, and what comes back: on the real engine, with real containers."""

from __future__ import annotations

import base64
import itertools
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.gatewaylab import PYTHON, Lab, eventually

TOKEN = "t0'k\"en %{+Q}o$x${HOME}"
PASSWORD = "pä:ss' #1"

CONFIG: dict[str, Any] = {
    "instances": {
        "plain": {"url": "http://plain:11434", "priority": 3},
        "tokened": {
            "url": "http://tokened:11434",
            "priority": 1,
            "auth": {"bearer": "${LAB_TOKEN}"},
            "headers": {"X-Client-ID": "renfield", "X-Key": "k-${LAB_KEY}"},
        },
        "prefixed": {
            "url": "http://prefixed:11434/team/llm",
            "priority": 2,
            "auth": {"basic": {"user": "al%ice", "password": "${file:/run/keys/pass}"}},
            "endpoints": {"chat": "/api/v1/chat", "health": "/health"},
        },
    },
    "profiles": {
        "prefixed-then-plain": {"use": ["prefixed", "plain"]},
        "tokened-then-plain": {"use": ["tokened", "plain"]},
    },
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(
        tmp_path_factory.mktemp("gateway"),
        CONFIG,
        variables={"LAB_TOKEN": TOKEN, "LAB_KEY": "7%", "/run/keys/pass": PASSWORD},
    )
    try:
        made.start()
        made.upstream("plain")
        made.upstream("tokened", AUTHORIZATION=f"Bearer {TOKEN}")
        basic = base64.b64encode(f"al%ice:{PASSWORD}".encode()).decode()
        made.upstream("prefixed", PREFIX="/team/llm", AUTHORIZATION=f"Basic {basic}")
        yield made
    finally:
        made.close()


@pytest.fixture
def client(lab: Lab) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab.url, timeout=30) as made:
        yield made


def last(lab: Lab, name: str) -> dict[str, Any]:
    return lab.ask(name, "/seen")["seen"][-1]


def count(lab: Lab, name: str) -> int:
    return len(lab.ask(name, "/seen")["seen"])


def test_token_and_headers(lab: Lab, client: httpx.Client) -> None:
    lab.switch("tokened")
    answer = client.post("/api/generate?x=1&y=%20", json={"a": 1}, headers={"Authorization": "Bearer mine"})
    assert (answer.status_code, answer.headers["x-stackctl-instance"]) == (200, "tokened")
    seen = last(lab, "tokened")
    assert seen["path"] == "/api/generate?x=1&y=%20"
    assert seen["headers"]["authorization"] == f"Bearer {TOKEN}"
    assert seen["headers"]["x-client-id"] == "renfield"
    assert seen["headers"]["x-key"] == "k-7%"
    assert seen["headers"]["host"] == "tokened:11434"
    assert not any(name.startswith("x-stackctl") for name in seen["headers"])


def test_prefix_endpoints_and_basic_credentials(lab: Lab, client: httpx.Client) -> None:
    lab.switch("prefixed")
    assert client.post("/api/chat", json={}).json()["path"] == "/team/llm/api/v1/chat"
    assert client.post("/api/generate?q=1", json={}).json()["path"] == "/team/llm/api/generate?q=1"
    eventually(lambda: lab.state().instances[0].why.startswith("L7OK"))


def test_a_clients_own_credentials_reach_an_instance_that_wants_none(lab: Lab, client: httpx.Client) -> None:
    lab.switch("plain")
    client.get("/api/tags", headers={"Authorization": "Bearer mine"})
    assert last(lab, "plain")["headers"]["authorization"] == "Bearer mine"


@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503, 504])
def test_what_the_instance_says_is_handed_on(lab: Lab, client: httpx.Client, status: int) -> None:
    lab.switch("plain")
    answer = client.post("/api/chat", json={"options": {"status": status}})
    assert (answer.status_code, answer.json()) == (status, {"error": f"plain says {status}"})


def test_nothing_of_one_instance_reaches_another_on_a_retry(lab: Lab, client: httpx.Client) -> None:
    lab.switch("prefixed-then-plain")
    lab.control("prefixed", {"listen": False})
    try:
        body = b"x" * 5_000_000
        answer = client.post("/api/chat?q=1", content=body, headers={"Authorization": "Bearer mine"})
        assert (answer.status_code, answer.headers["x-stackctl-instance"]) == (200, "plain")
        assert answer.json() == {"name": "plain", "path": "/api/chat?q=1", "length": len(body)}
        assert "authorization" not in last(lab, "plain")["headers"]
    finally:
        lab.restart("prefixed")


def test_a_forged_note_of_who_was_tried_is_ignored(lab: Lab, client: httpx.Client) -> None:
    lab.switch("tokened-then-plain")
    answer = client.get("/api/tags", headers={"X-Stackctl-Tried": "tokened"})
    assert answer.headers["x-stackctl-instance"] == "tokened"
    assert "x-stackctl-tried" not in last(lab, "tokened")["headers"]


def test_what_may_have_been_done_is_not_done_again(lab: Lab, client: httpx.Client) -> None:
    lab.switch("tokened-then-plain")
    before = count(lab, "tokened"), count(lab, "plain")
    answer = client.post("/api/chat", json={"options": {"hang_up": "tokened"}})
    assert answer.status_code == 502
    assert answer.json() == {"error": "stackctl gateway: tokened broke off before it answered"}
    assert (count(lab, "tokened"), count(lab, "plain")) == (before[0] + 1, before[1])


def test_what_changes_nothing_is_asked_elsewhere(lab: Lab, client: httpx.Client) -> None:
    lab.switch("tokened-then-plain")
    answer = client.get("/api/tags", params={"hang_up": "tokened"})
    assert (answer.status_code, answer.headers["x-stackctl-instance"]) == (200, "plain")


def test_a_stream_that_breaks_is_not_begun_again(lab: Lab, client: httpx.Client) -> None:
    lab.switch("tokened-then-plain")
    before = count(lab, "tokened") + count(lab, "plain")
    lines = []
    with (
        pytest.raises(httpx.RemoteProtocolError),
        client.stream("POST", "/api/chat", json={"options": {"tokens": 9, "interval": 0.05, "break_at": 4}}) as answer,
    ):
        lines.extend(answer.iter_lines())
    assert answer.status_code == 200
    assert count(lab, "tokened") + count(lab, "plain") == before + 1


@pytest.mark.parametrize("profile", ["plain", "tokened-then-plain"])
def test_a_stream_is_not_held_back(lab: Lab, client: httpx.Client, profile: str) -> None:
    lab.switch(profile)
    arrivals = []
    with client.stream("POST", "/api/chat", json={"options": {"tokens": 5, "interval": 0.2}}) as answer:
        arrivals.extend(time.monotonic() for line in answer.iter_lines() if line)
    gaps = [b - a for a, b in itertools.pairwise(arrivals[:5])]
    assert len(arrivals) == 6
    assert all(0.1 < gap < 0.4 for gap in gaps), gaps


@pytest.mark.parametrize("profile", ["plain", "tokened-then-plain"])
def test_an_instance_learns_that_its_client_left(lab: Lab, client: httpx.Client, profile: str) -> None:
    lab.switch(profile)
    name = profile.partition("-")[0]
    before = lab.ask(name, "/seen")["left"]
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/chat", json={"options": {"first": 30}}, timeout=0.5)
    eventually(lambda: lab.ask(name, "/seen")["left"] == before + 1, seconds=5)


def test_head_and_body_sent_apart(lab: Lab) -> None:
    lab.switch("tokened-then-plain")
    host, port = lab.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(b"POST /api/chat HTTP/1.1\r\nHost: ollama\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        time.sleep(0.3)  # the two parts must come as two
        sock.sendall(b"{}")
        received = b""
        while part := sock.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 200")


def test_the_administration_is_closed_to_consumers(lab: Lab, client: httpx.Client) -> None:
    lab.switch("plain")
    assert client.get("/about").json()["path"] == "/about"
    probe = (
        "import socket,sys\nfor port in range(1,65536):\n s=socket.socket(); s.settimeout(0.2)\n"
        " if s.connect_ex((sys.argv[1],port))==0: print(port)\n s.close()"
    )
    address = lab.url.removeprefix("http://").partition(":")[0]
    done = subprocess.run(
        [
            "docker",
            "run",
            "--rm",
            "--label",
            "io.stackctl.test=1",
            "--network",
            f"{lab.project}_front",
            PYTHON,
            "python3",
            "-c",
            probe,
            address,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == ["11434"]
