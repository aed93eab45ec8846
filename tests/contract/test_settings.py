"""The OLLAMA_* variables, by what they change outside."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.double import Double, double
from tests.support.rawhttp import ask

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.double_only


def _loaded(server: Double) -> list[dict[str, Any]]:
    return list(ask(server.url, "GET", "/api/ps").json["models"])


def _load(server: Double, model: str, **more: Any) -> None:
    assert ask(server.url, "POST", "/api/generate", body={"model": model, **more}).status == 200


def _until_idle(server: Double) -> None:
    until = time.monotonic() + 10
    while _loaded(server):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(("value", "seconds"), [("300ms", 0.3), ("0", 0.0)])
def test_keep_alive(tmp_path: Path, value: str, seconds: float) -> None:
    with double(tmp_path, models=["tiny-chat"], env={"OLLAMA_KEEP_ALIVE": value}) as server:
        begun = time.monotonic()
        _load(server, "tiny-chat")
        _until_idle(server)
        assert time.monotonic() - begun >= seconds


@pytest.mark.parametrize("value", ["-1", "-1s", '"-1"'])
def test_keep_alive_for_ever(tmp_path: Path, value: str) -> None:
    with double(tmp_path, models=["tiny-chat"], env={"OLLAMA_KEEP_ALIVE": value}) as server:
        _load(server, "tiny-chat")
        assert _loaded(server)[0]["expires_at"] > "2300"


def test_the_last_expiry_comes_first(tmp_path: Path) -> None:
    with double(tmp_path, models=["tiny-chat", "tiny-tools"]) as server:
        _load(server, "tiny-chat", keep_alive=600)
        _load(server, "tiny-tools", keep_alive=60)
        assert [each["name"] for each in _loaded(server)] == ["tiny-chat:latest", "tiny-tools:latest"]


def test_max_loaded_models(tmp_path: Path) -> None:
    with double(tmp_path, models=["tiny-chat", "tiny-tools"], env={"OLLAMA_MAX_LOADED_MODELS": "1"}) as server:
        _load(server, "tiny-chat")
        _load(server, "tiny-tools")
        assert [each["name"] for each in _loaded(server)] == ["tiny-tools:latest"]


def test_three_models_on_a_cpu(tmp_path: Path) -> None:
    names = ["tiny-chat", "tiny-tools", "tiny-think", "tiny-vision"]
    with double(tmp_path, models=names) as server:
        for name in names:
            _load(server, name)
        assert len(_loaded(server)) == 3


@pytest.mark.parametrize(
    ("env", "length"),
    [
        ({}, 4096),
        ({"OLLAMA_CONTEXT_LENGTH": "8192"}, 8192),
        ({"OLLAMA_CONTEXT_LENGTH": "1000000"}, 40960),
        ({"OLLAMA_NUM_CTX": "8192"}, 4096),
        ({"OLLAMA_CONTEXT_LENGTH": "much"}, 4096),
        ({"OLLAMA_DOUBLE_GPU": "full"}, 32768),
    ],
)
def test_context_length(tmp_path: Path, env: dict[str, str], length: int) -> None:
    with double(tmp_path, models=["qwen3:8b"], env=env) as server:
        _load(server, "qwen3:8b")
        assert _loaded(server)[0]["context_length"] == length


@pytest.mark.parametrize(
    "env", [{"CUDA_VISIBLE_DEVICES": "-1"}, {"OLLAMA_LLM_LIBRARY": "cpu"}, {"OLLAMA_DOUBLE_GPU": "none"}]
)
def test_a_hidden_gpu(tmp_path: Path, env: dict[str, str]) -> None:
    with double(tmp_path, models=["qwen3:8b"], env={"OLLAMA_DOUBLE_GPU": "full"} | env) as server:
        _load(server, "qwen3:8b")
        assert _loaded(server)[0]["size_vram"] == 0
        assert "id=cpu library=cpu" in server.log


def test_a_gpu_in_the_log(tmp_path: Path) -> None:
    with double(tmp_path, env={"OLLAMA_DOUBLE_GPU": "full"}) as server:
        assert "library=CUDA" in server.log
        assert 'total_vram="24.0 GiB" default_num_ctx=32768' in server.log


@pytest.mark.parametrize(
    ("value", "off"), [("1", True), ("yes please", True), ("false", False), ("0", False), ("", False)]
)
def test_a_boolean_that_nobody_can_read_is_true(tmp_path: Path, value: str, off: bool) -> None:
    with double(tmp_path, env={"OLLAMA_NO_CLOUD": value}) as server:
        assert ask(server.url, "GET", "/api/status").json["cloud"]["disabled"] is off


@pytest.mark.parametrize(("env", "source"), [({}, "config"), ({"OLLAMA_NO_CLOUD": "1"}, "both")])
def test_the_cloud_switched_off_in_the_file(tmp_path: Path, env: dict[str, str], source: str) -> None:
    (tmp_path / ".ollama").mkdir()
    (tmp_path / ".ollama" / "server.json").write_text('{"disable_ollama_cloud": true}')
    with double(tmp_path, env=env) as server:
        assert ask(server.url, "GET", "/api/status").json == {"cloud": {"disabled": True, "source": source}}
        assert ask(server.url, "POST", "/api/generate", body={"model": "x:cloud", "prompt": "x"}).status == 403


def test_noprune_keeps_blobs(tmp_path: Path) -> None:
    for _ in range(2):
        with double(tmp_path, env={"OLLAMA_NOPRUNE": "1"}) as server:
            ask(server.url, "POST", "/api/blobs/sha256:" + "0" * 64, body="stray")
            assert len(list((server.models / "blobs").iterdir())) == 1


def test_load_timeout(tmp_path: Path) -> None:
    env = {"OLLAMA_LOAD_TIMEOUT": "200ms"}
    with double(tmp_path, models=["tiny-chat"], env=env, faults={"load_seconds": 60}) as server:
        answer = ask(server.url, "POST", "/api/generate", body={"model": "tiny-chat"})
        assert answer.status == 500
        assert answer.json["error"].startswith("timed out waiting for llama-server to start")


def test_quotes_and_spaces_are_trimmed(tmp_path: Path) -> None:
    with double(tmp_path, env={"OLLAMA_ORIGINS": ' "https://a.example" '}) as server:
        answer = ask(server.url, "GET", "/api/version", headers={"Origin": "https://a.example"})
        assert answer.headers["access-control-allow-origin"] == "https://a.example"


def test_a_wildcard_is_both_stacks(tmp_path: Path) -> None:
    with double(tmp_path, host="0.0.0.0") as server:
        assert f"Listening on [::]:{server.port}" in server.log
        for host in ("127.0.0.1", "[::1]"):
            assert ask(f"http://{host}:{server.port}", "GET", "/").text == "Ollama is running"
        assert "|       127.0.0.1 |" in server.log


def test_the_config_is_logged(tmp_path: Path) -> None:
    with double(tmp_path, env={"OLLAMA_KEEP_ALIVE": "24h"}) as server:
        (line,) = [line for line in server.log.splitlines() if 'msg="server config"' in line]
        assert "OLLAMA_KEEP_ALIVE:24h0m0s" in line
        assert f"OLLAMA_MODELS:{server.models}" in line


def test_a_wrong_port_is_warned_of(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # 127.0.0.9:11434 is nobody's on a machine where 11434 is used on 127.0.0.1 alone.
        with double(tmp_path, host="127.0.0.9", port=99999) as server:
            assert server.port == 11434
            assert (
                'level=WARN source=config.go:48 msg="invalid port, using default" value=99999 default=11434'
                in server.log
            )


@pytest.mark.parametrize(
    ("version", "gone"),
    [("0.6.3", "show"), ("0.9.0", "ps"), ("0.29.0", "tags"), ("0.6.9", "405")],
)
def test_what_older_releases_lack(tmp_path: Path, version: str, gone: str) -> None:
    with double(tmp_path, models=["tiny-chat"], env={"OLLAMA_DOUBLE_VERSION": version}) as server:
        _load(server, "tiny-chat")
        has = {
            "show": "capabilities" in ask(server.url, "POST", "/api/show", body={"model": "tiny-chat"}).json,
            "ps": "context_length" in _loaded(server)[0],
            "tags": "capabilities" in ask(server.url, "GET", "/api/tags").json["models"][0],
            "405": ask(server.url, "GET", "/api/chat").status == 405,
        }
        assert has[gone] is False


def test_embedding_longer_than_the_context(tmp_path: Path) -> None:
    with double(tmp_path, models=["tiny-embed"]) as server:
        call = {"model": "tiny-embed", "input": "word " * 600}
        assert ask(server.url, "POST", "/api/embed", body=call).json["prompt_eval_count"] == 512
        refused = ask(server.url, "POST", "/api/embed", body=call | {"truncate": False})
        assert (refused.status, refused.json["error"]) == (400, "the input length exceeds the context length")
        older = ask(server.url, "POST", "/api/embeddings", body={"model": "tiny-embed", "prompt": "word " * 600})
        assert older.status == 500


def test_a_prompt_longer_than_the_context(tmp_path: Path) -> None:
    with double(tmp_path, models=["tiny-chat"]) as server:
        call = {"model": "tiny-chat", "prompt": "word " * 100, "stream": False, "options": {"num_ctx": 16, "odd": 1}}
        assert ask(server.url, "POST", "/api/generate", body=call).json["prompt_eval_count"] == 16
        assert 'msg="truncating input prompt" limit=16 prompt=10' in server.log
        assert 'msg="invalid option provided" option=odd' in server.log
        refused = ask(server.url, "POST", "/api/generate", body=call | {"shift": False})
        assert refused.status == 400
        assert refused.json["error"].startswith("the prompt is longer than the context length")


def test_a_busy_model_told_to_go_stays_till_its_call_ends(tmp_path: Path) -> None:
    with double(tmp_path, models=["tiny-chat"], faults={"tokens_per_second": 10}) as server:
        body = json.dumps({"model": "tiny-chat", "prompt": "[double tokens=20]"}).encode()
        with socket.create_connection((server.host, server.port), timeout=10) as client:
            head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            client.sendall(head % len(body) + body)
            found = client.recv(20)
            _load(server, "tiny-chat", keep_alive=0)
            assert len(_loaded(server)) == 1
            while piece := client.recv(65536):
                found += piece
        assert b'"done":true' in found
        _until_idle(server)
