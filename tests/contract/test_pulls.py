"""Pulls in time: progress, a client that leaves, a resume, two clients, and what is on disk afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.double import Double, double
from tests.support.model_registry import model_registry
from tests.support.rawhttp import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.servers import Server

_CATALOGUE = {"OLLAMA_DOUBLE_CATALOGUE": '{"ct-big": {"size": 3000000}}'}
_BIG: dict[str, Any] = {"faults": {"pull_bytes_per_second": 1.5e6}, "env": _CATALOGUE}


@contextlib.contextmanager
def _pulling(url: str, model: str, **more: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """Begin a pull and give its lines as they come; leaving the `with` closes the connection."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
    try:
        connection.request("POST", "/api/pull", json.dumps({"model": model, **more}))
        answer = connection.getresponse()
        try:
            yield (json.loads(line) for line in answer)
        finally:
            answer.close()
    finally:
        connection.close()


def _completed(lines: list[dict[str, Any]]) -> list[int]:
    return [line.get("completed", 0) for line in lines if line.get("total", 0) > 100_000]


@pytest.mark.given("registry")
def test_progress_grows_and_zero_is_left_out(server: Server, registry: str) -> None:
    name = f"{registry}/lib/slow"
    ask(server.url, "DELETE", "/api/delete", body={"model": name})
    with _pulling(server.url, name, insecure=True) as stream:
        lines = list(stream)
    numbers = _completed(lines)
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 3
    assert all(line["completed"] for line in lines if "completed" in line)
    assert lines[0] == {"status": "pulling manifest"}
    assert lines[-1] == {"status": "success"}
    layer = next(line for line in lines if line.get("total", 0) > 100_000)
    assert layer["status"] == f"pulling {layer['digest'][7:19]}"


@pytest.mark.given("registry")
def test_a_pull_of_what_is_there_says_so_at_once(server: Server, registry: str) -> None:
    call = {"model": f"{registry}/lib/big", "insecure": True}
    ask(server.url, "POST", "/api/pull", body=call)
    lines = ask(server.url, "POST", "/api/pull", body=call).lines
    assert [line["completed"] for line in lines if "total" in line] == [
        line["total"] for line in lines if "total" in line
    ]


@pytest.mark.double_only
def test_a_client_that_leaves_stops_it_and_the_next_one_resumes(tmp_path: Path) -> None:
    with double(tmp_path, **_BIG) as server:
        with _pulling(server.url, "ct-big") as stream:
            seen = next(line["completed"] for line in stream if line.get("completed", 0) > 300_000)
        partial = next(path for path in (server.models / "blobs").iterdir() if path.name.endswith("-partial"))
        _until(lambda: server.admin("GET", "state")["active"] == 0)
        note = json.loads(partial.with_name(partial.name + "-0").read_text())
        assert partial.stat().st_size == note["Size"]
        assert seen <= note["Completed"] < note["Size"]
        server.faults(pull_bytes_per_second=6e6)
        with _pulling(server.url, "ct-big") as stream:
            lines = list(stream)
    assert _completed(lines)[0] >= note["Completed"]
    assert lines[-1] == {"status": "success"}


@pytest.mark.double_only
def test_a_killed_server_resumes(tmp_path: Path) -> None:
    with double(tmp_path, **_BIG) as server, _pulling(server.url, "ct-big") as stream:
        next(line for line in stream if line.get("completed", 0) > 500_000)
        server.process.kill()
        server.process.wait()
    with double(tmp_path, env=_CATALOGUE, faults={"pull_bytes_per_second": 6e6}) as server:
        with _pulling(server.url, "ct-big") as stream:
            lines = list(stream)
        assert _completed(lines)[0] > 0
        assert lines[-1] == {"status": "success"}
        _sound(server)


@pytest.mark.double_only
def test_two_clients_share_one_download(tmp_path: Path) -> None:
    with model_registry() as registry, double(tmp_path) as server:
        name = f"127.0.0.1:{registry.server_address[1]}/lib/slow"
        ends: list[dict[str, Any]] = []

        def pull() -> None:
            with _pulling(server.url, name, insecure=True) as stream:
                ends.append(list(stream)[-1])

        threads = [threading.Thread(target=pull) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ends == [{"status": "success"}] * 2
        assert sum(path.startswith("/data/") for _, path, wanted in registry.seen if wanted) == 3


@pytest.mark.double_only
def test_the_first_to_leave_does_not_stop_the_other(tmp_path: Path) -> None:
    with double(tmp_path, **_BIG) as server, _pulling(server.url, "ct-big") as staying:
        next(line for line in staying if line.get("completed"))
        with _pulling(server.url, "ct-big") as leaving:
            next(line for line in leaving if line.get("completed"))
        assert list(staying)[-1] == {"status": "success"}


@pytest.mark.double_only
def test_models_outlive_the_server_and_move_with_their_folder(tmp_path: Path) -> None:
    with double(tmp_path / "one", env=_CATALOGUE) as server:
        assert ask(server.url, "POST", "/api/pull", body={"model": "ct-big", "stream": False}).status == 200
        before = ask(server.url, "GET", "/api/tags").json["models"]
        _sound(server)
    with double(tmp_path / "one") as server:
        assert ask(server.url, "GET", "/api/tags").json["models"] == before
    shutil.copytree(tmp_path / "one" / "models", tmp_path / "two" / "models")
    with double(tmp_path / "two") as server:
        after = ask(server.url, "GET", "/api/tags").json["models"]
        assert [each["digest"] for each in after] == [each["digest"] for each in before]
        call = {"model": "ct-big", "prompt": "hi", "stream": False}
        assert server.name in ask(server.url, "POST", "/api/generate", body=call).json["response"]


@pytest.mark.double_only
def test_start_drops_blobs_that_nobody_uses(tmp_path: Path) -> None:
    with double(tmp_path, models=["tiny-chat"]) as server:
        ask(server.url, "POST", "/api/blobs/sha256:" + "0" * 64, body="stray")
        count = len(list((server.models / "blobs").iterdir()))
    with double(tmp_path) as server:
        assert len(list((server.models / "blobs").iterdir())) == count - 1
        assert 'msg="total unused blobs removed: 1"' in server.log
        assert ask(server.url, "POST", "/api/show", body={"model": "tiny-chat"}).status == 200


@pytest.mark.double_only
def test_a_corrupt_manifest_is_left_out(tmp_path: Path) -> None:
    with double(tmp_path, models=["tiny-chat", "tiny-embed"]) as server:
        (server.models / "manifests/registry.ollama.ai/library/tiny-embed/latest").write_text("{")
        models = ask(server.url, "GET", "/api/tags").json["models"]
        assert [each["name"] for each in models] == ["tiny-chat:latest"]
        assert 'msg="bad manifest"' in server.log


@pytest.mark.double_only
def test_disk_full(tmp_path: Path) -> None:
    with double(tmp_path, faults={"pull_disk_full_after": 500_000}, env=_CATALOGUE) as server:
        error = ask(server.url, "POST", "/api/pull", body={"model": "ct-big"}).lines[-1]["error"]
        assert error.startswith(f"write {server.models}/blobs/sha256-")
        assert error.endswith("-partial: no space left on device")


@pytest.mark.double_only
@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("dns", "dial tcp: lookup registry.ollama.ai on 127.0.0.11:53: no such host"),
        ("refused", "connect: connection refused"),
        ("timeout", "i/o timeout"),
        ("tls", "x509: certificate signed by unknown authority"),
        ("proxy", "proxyconnect tcp: dial tcp"),
        ("html", "pull model manifest: invalid character '<' looking for beginning of value"),
        ("401", "pull model manifest: unauthorized: access denied"),
        ("412", "pull model manifest: 412: The model you are attempting to pull requires a newer version of Ollama."),
        ("500", "pull model manifest: 500: "),
        ("key", "pull model manifest: ssh: no key found"),
    ],
)
def test_registry_faults(pool: Any, kind: str, pattern: str) -> None:
    server = pool.get(("offline",))
    server.double.faults(registry=kind)
    lines = ask(server.url, "POST", "/api/pull", body={"model": "qwen3:8b"}).lines
    assert lines[0] == {"status": "pulling manifest"}
    assert pattern in lines[-1]["error"]
    server.double.faults(registry="dns")


@pytest.mark.double_only
def test_a_cut_download_ends_in_an_error_and_goes_on_later(tmp_path: Path) -> None:
    with double(tmp_path, faults={"pull_cut_after": 1_000_000}, env=_CATALOGUE) as server:
        assert (
            "max retries exceeded" in ask(server.url, "POST", "/api/pull", body={"model": "ct-big"}).lines[-1]["error"]
        )
        server.heal()
        assert ask(server.url, "POST", "/api/pull", body={"model": "ct-big"}).lines[-1] == {"status": "success"}
        _sound(server)


@pytest.mark.double_only
def test_a_bad_proxy_stops_a_pull(tmp_path: Path) -> None:
    with double(tmp_path, env={"HTTPS_PROXY": "http://127.0.0.1:1"}) as server:
        error = ask(server.url, "POST", "/api/pull", body={"model": "tiny-chat"}).lines[-1]["error"]
        assert error.endswith("proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused")


@pytest.mark.double_only
def test_an_empty_key_stops_a_pull(tmp_path: Path) -> None:
    (tmp_path / ".ollama").mkdir()
    (tmp_path / ".ollama" / "id_ed25519").touch()
    with double(tmp_path) as server:
        error = ask(server.url, "POST", "/api/pull", body={"model": "tiny-chat"}).lines[-1]["error"]
        assert error == "pull model manifest: ssh: no key found"


@pytest.mark.double_only
def test_a_cloud_model_becomes_a_stub(server: Server) -> None:
    call = {"model": "gpt-oss:20b:cloud", "stream": False}
    assert ask(server.url, "POST", "/api/pull", body=call).json == {"status": "success"}
    found = next(m for m in ask(server.url, "GET", "/api/tags").json["models"] if m["name"] == "gpt-oss:20b-cloud")
    assert found["remote_host"] == "https://ollama.com:443"
    assert found["size"] < 1000


def _until(holds: Any) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def _sound(server: Double) -> None:
    """Every blob has the bytes that its name says."""
    for path in (server.models / "blobs").iterdir():
        assert path.name == "sha256-" + hashlib.sha256(path.read_bytes()).hexdigest()
