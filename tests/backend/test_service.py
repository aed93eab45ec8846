"""What the service says of itself, and how it starts."""

import os
import subprocess
import sys

import pytest
from backend.settings import Settings, SettingsError

from .conftest import SOURCE


def test_healthz_tells_which_ollama_is_reached(start, upstream):
    answer = start(OLLAMA_URL=upstream.url + "/").get("/healthz")
    assert answer.status_code == 200
    told = answer.json()
    assert told["status"] == "ok"
    assert told["ollama"].pop("latency_ms") > 0
    assert told["ollama"] == {"url": upstream.url, "reached": True, "version": "0.33.0", "error": None}


def test_alive_is_not_ready_without_ollama(start):
    client = start(OLLAMA_URL="http://127.0.0.1:9")
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ollama"]["reached"] is False
    assert answer.json()["ollama"]["error"]


@pytest.mark.parametrize(
    ("respond", "error"),
    [
        (lambda ask: ask.raw(200, "text/html", b"<h1>a router</h1>"), "something else than Ollama answers there"),
        (lambda ask: ask.json(200, ["0.33.0"]), "something else than Ollama answers there"),
        (lambda ask: ask.raw(401, "text/plain", b""), "HTTP 401"),
    ],
)
def test_what_is_no_ollama_is_not_reached(start, upstream, respond, error):
    upstream.answers("/api/version", respond)
    answer = start(OLLAMA_URL=upstream.url).get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ollama"]["error"] == error


def test_a_path_prefix_is_kept(start, upstream):
    upstream.answers("/ollama/api/version", lambda ask: ask.json(200, {"version": "1"}))
    upstream.answers("/ollama/api/chat", upstream.routes["/api/chat"])
    client = start(OLLAMA_URL=f"{upstream.url}/ollama")
    assert client.get("/readyz").status_code == 200
    assert client.post("/chat", json={"prompt": "hi"}).status_code == 200


def test_info_names_the_model_and_whether_it_is_there(start, upstream):
    client = start(OLLAMA_URL=upstream.url, OLLAMA_MODEL="Tiny:1B")
    told = client.get("/api/info").json()
    assert (told["model"], told["model_present"], told["models"]) == ("Tiny:1B", True, ["tiny:1b"])
    assert told["ollama"]["version"] == "0.33.0"
    other = start(OLLAMA_URL=upstream.url, OLLAMA_MODEL="tiny").get("/api/info").json()
    assert other["model_present"] is False


def test_info_does_not_know_what_it_could_not_ask(start):
    told = start(OLLAMA_URL="http://127.0.0.1:9").get("/api/info").json()
    assert told["model_present"] is None
    assert told["models"] == []


def test_the_page_loads_nothing_from_elsewhere(start, upstream):
    client = start(OLLAMA_URL=upstream.url)
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "://" not in page.text
    for name in ("chat.css", "chat.js", "turns.js", "server.js", "theme.js"):
        asset = client.get(f"/static/{name}")
        assert asset.status_code == 200
        assert "http://" not in asset.text.replace("https?://", "")
    assert client.get("/static/../settings.py").status_code == 404
    assert client.get("/nowhere").status_code == 404


def test_no_token_in_any_answer(start, upstream):
    client = start(OLLAMA_URL=upstream.url, OLLAMA_TOKEN="canary-token")
    for path in ("/healthz", "/readyz", "/api/info"):
        answer = client.get(path)
        assert "canary" not in answer.text + str(answer.headers)
    assert "canary" not in repr(Settings.read({"OLLAMA_TOKEN": "canary-token"}))


def test_empty_variables_count_as_not_set():
    assert Settings.read({"OLLAMA_URL": "", "OLLAMA_MODEL": " ", "OLLAMA_TIMEOUT": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OLLAMA_URL", "ollama:11434", "OLLAMA_URL=ollama:11434 does not begin with http:// or https://"),
        ("OLLAMA_TIMEOUT", "soon", "OLLAMA_TIMEOUT is not a positive number of seconds"),
        ("OLLAMA_TIMEOUT", "-1", "OLLAMA_TIMEOUT is not a positive number of seconds"),
    ],
)
def test_a_wrong_variable_stops_the_start_in_one_line(name, value, message):
    with pytest.raises(SettingsError) as told:
        Settings.read({name: value})
    assert str(told.value) == message
    ended = subprocess.run(
        [sys.executable, "-m", "backend"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), name: value},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (2, f"backend: {message}\n")
