"""`stackctl models` and `stackctl chat` on real servers and the real engine."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import PROGRAM, _with_package, start_process
from tests.support.double import Double
from tests.support.double import double as started
from tests.support.project import OLLAMA, VOLUMES, Project, backend, docker, ollama


def wait_for(what: Callable[[], Any], seconds: float = 40.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


@pytest.fixture
def pair(stack: Project, tmp_path: Path) -> Iterator[tuple[Double, Double]]:
    """Two instances: the second has another build of one model, and the first prefers nobody."""
    other = json.dumps(
        {"tiny-chat:latest": {"size": 50_000, "family": "llama", "parameters": "9M", "capabilities": ["completion"]}}
    )
    with (
        started(tmp_path / "one", name="one", models=["tiny-chat", "tiny-embed"]) as one,
        started(tmp_path / "two", name="two", models=["tiny-chat"], env={"OLLAMA_DOUBLE_CATALOGUE": other}) as two,
    ):
        stack.compose({"backend": backend()})
        stack.config(
            gateway=True,
            models=["tiny-chat", "qwen3:0.6b"],
            instances={
                "one": {"url": one.url, "priority": 1},
                "two": {"url": two.url, "priority": 2, "models": ["tiny-chat"]},
            },
            profiles={"cluster": {"use": ["two", "one"]}},
        )
        yield one, two


def test_list_show_and_digest_differences(stack: Project, pair: tuple[Double, Double]) -> None:
    stack.stackctl("chat", "hi", "-i", "one", "-m", "tiny-chat").ok()
    document = stack.stackctl("models", "list", "--json").ok().json
    found = {(e["instance"], e["name"]): e for e in document["models"]}
    assert set(found) == {("one", "tiny-chat:latest"), ("one", "tiny-embed:latest"), ("two", "tiny-chat:latest")}
    one, two = found["one", "tiny-chat:latest"], found["two", "tiny-chat:latest"]
    assert one["digest"] != two["digest"]
    assert one["differs"]
    assert two["differs"]
    assert not found["one", "tiny-embed:latest"]["differs"]
    assert (one["context_length"], one["capabilities"], one["quantization"]) == (4096, ["completion"], "Q4_K_M")
    assert one["loaded"]["processor"] == "100% CPU"
    assert two["loaded"] is None
    assert document["missing"] == {"one": ["qwen3:0.6b"]}
    text = stack.stackctl("models", "list").ok().out
    assert "≠" in text
    assert "one lacks qwen3:0.6b" in text
    shown = stack.stackctl("models", "show", "tiny-chat", "-i", "two", "--json").ok().json
    assert shown["show"]["details"]["parameter_size"] == "9M"


def test_pull_sync_rm_prune(stack: Project, pair: tuple[Double, Double]) -> None:
    one, _two = pair
    stack.stackctl("models", "sync", "one").ok()
    assert "nothing to do" in stack.stackctl("models", "sync", "cluster").ok().out
    pulled = (
        stack.stackctl("models", "pull", "smollm2:135m", "all-minilm:22m", "-i", "one", "-i", "two", "--json").ok().json
    )
    assert sorted((p["instance"], p["model"], p["ok"]) for p in pulled["pulls"]) == [
        ("one", "all-minilm:22m", True), ("one", "smollm2:135m", True),
        ("two", "all-minilm:22m", True), ("two", "smollm2:135m", True),
    ]  # fmt: skip
    would = stack.stackctl("models", "prune", "-i", "one", "--dry-run", "--json").ok().json
    assert {r["model"] for r in would["removed"]} == {"smollm2:135m", "all-minilm:22m", "tiny-embed:latest"}
    assert "nobody said yes" in stack.stackctl("models", "prune", "-i", "one").ended(1).text
    stack.stackctl("models", "prune", "-i", "one", "--yes").ok()
    names = {e["name"] for e in stack.stackctl("models", "list", "-i", "one", "--json").ok().json["models"]}
    assert names == {"tiny-chat:latest", "qwen3:0.6b"}
    stack.stackctl("models", "rm", "smollm2:135m", "-i", "two", "--yes").ok()
    gone = stack.stackctl("models", "rm", "smollm2:135m", "-i", "two", "--yes").ended(1)
    assert "no instance has the model smollm2:135m" in gone.text
    assert one.process.poll() is None


@pytest.mark.parametrize(
    ("knobs", "model", "words"),
    [
        ({}, "qwenn3:0.6b", "did you mean qwen3:0.6b"),
        ({}, "lama3.2", "did you mean llama3.2"),
        ({}, "bad name", "is no model name"),
        ({"pull_disk_full_after": 1000}, "qwen3:0.6b", "the disk of the Ollama server is full"),
        ({"registry": "dns"}, "qwen3:0.6b", "cannot reach the model registry"),
        ({"registry": "key"}, "qwen3:0.6b", "cannot use its own key"),
        ({"registry": "412"}, "qwen3:0.6b", "needs a newer Ollama"),
    ],
)
def test_a_pull_that_fails_says_why(
    stack: Project, pair: tuple[Double, Double], knobs: dict[str, Any], model: str, words: str
) -> None:
    pair[0].faults(**knobs)
    ran = stack.stackctl("models", "pull", model, "-i", "one").ended(1)
    assert words in ran.text
    assert "→" in ran.text


def test_ctrl_c_in_a_pull_and_again(stack: Project, pair: tuple[Double, Double]) -> None:
    pair[0].faults(pull_bytes_per_second=4e5)
    process = start_process("models", "pull", "llama3.2:1b", "-i", "one", cwd=stack.directory)
    partial = wait_for(lambda: list(pair[0].models.glob("blobs/*-partial")))
    wait_for(lambda: partial[0].stat().st_blocks > 600)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    process.communicate()
    pair[0].faults(pull_bytes_per_second=32e6)
    stack.stackctl("models", "pull", "llama3.2:1b", "-i", "one").ok()


def test_chat_takes_the_best_and_the_next_before_the_first_token(stack: Project, pair: tuple[Double, Double]) -> None:
    one, two = pair
    ran = stack.stackctl("chat", "hello", "--json").ok().json
    assert (ran["instance"], ran["model"]) == ("one", "tiny-chat:latest")
    assert ran["figures"]["tokens"] > 0
    assert ran["figures"]["first_token_s"] > 0
    assert ran["figures"]["processor"] == "100% CPU"
    # The cluster as the profile in force: the better priority answers, whatever the order in the file.
    stack.stackctl("instances", "edit", "two", "--priority", "3").ok()
    one.faults(load_error="oom")
    one.admin("POST", "unload")
    state = stack.directory / ".stackctl" / "state.json"
    state.parent.mkdir(exist_ok=True)
    state.write_text(
        json.dumps(
            {"schema": "stackctl.state/1", "project": stack.name, "environment": None, "profile": "cluster",
             "url": "http://stackctl-gateway:11434", "verified": None, "override": ""}
        )
    )  # fmt: skip
    ran = stack.stackctl("chat", "hello", "--json").ok().json
    assert ran["instance"] == "two"
    assert ran["failed"][0]["instance"] == "one"
    assert "not enough memory" in ran["failed"][0]["message"]
    one.heal()
    one.stop()
    assert stack.stackctl("chat", "hello", "--json").ok().json["instance"] == "two"
    # After the first token nobody else may start over.
    cut = stack.stackctl("chat", "[double tokens=20 cut=5] x").ended(1)
    assert "cut the connection" in cut.text
    two.stop()
    assert "no healthy instance" in stack.stackctl("chat", "hello").ended(1).text


def test_chat_as_a_dialogue_in_a_terminal(stack: Project, pair: tuple[Double, Double]) -> None:
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.chdir(stack.directory)
        os.execvpe(sys.executable, [*PROGRAM, "chat", "-i", "one"], _with_package({"TERM": "xterm"}))
    seen = b""

    def until(words: bytes) -> None:
        nonlocal seen
        end = time.monotonic() + 20
        while words not in seen:
            assert time.monotonic() < end, seen
            if select.select([terminal], [], [], 0.1)[0]:
                seen += os.read(terminal, 65536)

    until(b">>> ")
    os.write(terminal, b"first question\n")
    until(b'You said: "first question"')
    until(b"tokens/s")
    seen = b""
    os.write(terminal, b"second question\n")
    until(b'You said: "second question"')
    until(b">>> ")
    os.write(terminal, b"\x04")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)


@pytest.mark.parametrize(
    ("said", "words"), [(b"", "nothing to say"), (b" \n", "nothing to say"), (b"\xff\xfe", "no UTF-8")]
)
def test_nothing_to_say(stack: Project, pair: tuple[Double, Double], said: bytes, words: str) -> None:
    """An empty standard input asked the model to answer nothing, and bad bytes were said to be the server's."""
    before = len(pair[0].requests())
    argv, env = [*PROGRAM, "chat", "-i", "one"], _with_package(None)
    done = subprocess.run(argv, input=said, env=env, cwd=stack.directory, capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert len(pair[0].requests()) == before


# -- the local store ------------------------------------------------------

BIG = {"big:1": {"size": 40_000_000, "family": "llama", "parameters": "1B", "capabilities": ["completion"]}}
HEALTH = {"test": ["CMD", "ollama", "list"], "interval": "1s", "retries": 30}


def running(stack: Project, **environment: str) -> None:
    service = ollama(healthcheck=HEALTH)
    service["environment"] |= {"OLLAMA_DOUBLE_MODELS": "tiny-chat,qwen3:0.6b", **environment}
    stack.compose({"ollama": service}, volumes=VOLUMES)
    stack.write("stackctl.yaml", "version: 1\nlocal: {gpu: none}\n")
    docker("compose", "--project-directory", str(stack.directory), "up", "--detach", "--wait")


def names_of(stack: Project) -> set[str]:
    return {e["name"] for e in stack.stackctl("models", "list", "-i", "local", "--json").ok().json["models"]}


def helpers() -> frozenset[str]:
    return frozenset(docker("ps", "--all", "--quiet", "--filter", "label=io.stackctl.role=volume-helper").split())


def test_a_server_without_a_published_port_and_bound_to_its_own_loopback(stack: Project) -> None:
    running(stack, OLLAMA_HOST="127.0.0.1:11999")
    assert names_of(stack) == {"tiny-chat:latest", "qwen3:0.6b"}
    stack.stackctl("models", "pull", "smollm2:135m", "-i", "local").ok()
    assert "smollm2:135m" in names_of(stack)
    assert stack.stackctl("chat", "hi", "-i", "local", "--json").ok().json["instance"] == "local"


def test_backup_and_restore_into_the_running_server(stack: Project, tmp_path: Path) -> None:
    running(stack)
    before = {e["name"]: e["digest"] for e in stack.stackctl("models", "list", "--json").ok().json["models"]}
    file = tmp_path / "models.tar.zst"
    made = stack.stackctl("models", "backup", str(file), "--json").ok().json
    assert {m["name"]: m["digest"] for m in made["models"]} == before
    assert file.stat().st_mode & 0o077 == 0
    stack.stackctl("models", "rm", "qwen3:0.6b", "-i", "local", "--yes").ok()
    restored = stack.stackctl("models", "restore", str(file), "--json").ok().json
    assert restored["verified"] is True
    assert {e["name"]: e["digest"] for e in stack.stackctl("models", "list", "--json").ok().json["models"]} == before
    assert stack.stackctl("chat", "hi", "-i", "local", "-m", "qwen3:0.6b").ok()
    assert "exists" in stack.stackctl("models", "backup", str(file)).ended(2).text
    only = stack.stackctl("models", "backup", str(tmp_path / "one.zst"), "tiny-chat", "--json").ok().json
    assert [m["name"] for m in only["models"]] == ["tiny-chat:latest"]
    # The server's private key is no model.
    assert b"id_ed25519" not in file.read_bytes()


def test_restore_into_a_fresh_stack(stack: Project, tmp_path: Path) -> None:
    running(stack)
    file = tmp_path / "models.tar.zst"
    stack.stackctl("models", "backup", str(file)).ok()
    docker("compose", "--project-directory", str(stack.directory), "down", "--volumes")
    none = stack.stackctl("models", "backup", str(tmp_path / "none.zst")).ended(1).text
    assert "no models yet" in none
    (tmp_path / "bad.zst").write_bytes(file.read_bytes().replace(b"sha256", b"sha255", 1) + b"x")
    stack.stackctl("models", "restore", str(tmp_path / "bad.zst")).ended(1)
    assert docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={stack.name}") == ""
    assert not (tmp_path / "none.zst").exists()
    ran = stack.stackctl("models", "restore", str(file), "--json").ok().json
    assert ran["verified"] is False
    service = ollama(environment={"OLLAMA_DOUBLE_NAME": "fresh"}, healthcheck=HEALTH)
    stack.compose({"ollama": service}, volumes=VOLUMES)
    docker("compose", "--project-directory", str(stack.directory), "up", "--detach", "--wait")
    assert names_of(stack) == {"tiny-chat:latest", "qwen3:0.6b"}


def store_files(stack: Project) -> dict[str, str]:
    script = "cd /root/.ollama/models && find . -type f | sort | xargs sha256sum"
    return dict(reversed(line.split()) for line in stack.exec("ollama", "sh", "-c", script).splitlines())  # type: ignore[misc]


def test_a_changed_byte_and_a_cut_file_are_refused_and_nothing_changes(stack: Project, tmp_path: Path) -> None:
    running(stack)
    file = tmp_path / "models.tar.zst"
    stack.stackctl("models", "backup", str(file)).ok()
    stack.stackctl("models", "rm", "qwen3:0.6b", "-i", "local", "--yes").ok()
    before = store_files(stack)
    good = file.read_bytes()
    for place in (5, 700, len(good) // 3, len(good) // 2, len(good) - 100, len(good) - 3):
        bad = bytearray(good)
        bad[place] ^= 4
        file.write_bytes(bad)
        ran = stack.stackctl("models", "restore", str(file)).ended(1)
        assert "damaged" in ran.text or "no backup" in ran.text or "cut" in ran.text
        assert store_files(stack) == before
    file.write_bytes(good[: len(good) // 2])
    stack.stackctl("models", "restore", str(file)).ended(1)
    file.write_text("hello")
    stack.stackctl("models", "restore", str(file)).ended(1)
    assert store_files(stack) == before
    assert not stack.exec("ollama", "sh", "-c", "ls -A /root/.ollama/models | grep stackctl || true")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_half_way_leaves_no_half_file(stack: Project, tmp_path: Path, number: signal.Signals) -> None:
    running(stack, OLLAMA_DOUBLE_CATALOGUE=json.dumps(BIG), OLLAMA_DOUBLE_MODELS="big:1")
    folder = tmp_path / "backups"
    folder.mkdir()
    before = helpers()
    process = start_process("models", "backup", str(folder / "m.zst"), cwd=stack.directory)
    wait_for(lambda: helpers() - before)
    process.send_signal(number)
    process.wait(30)
    process.communicate()
    if process.returncode:
        assert list(folder.iterdir()) == []
    wait_for(lambda: not helpers() - before)
    stack.stackctl("models", "backup", str(folder / "m.zst")).ok()
    # The same for a restore: the store is as it was.
    stack.stackctl("models", "rm", "big:1", "-i", "local", "--yes").ok()
    process = start_process("models", "restore", str(folder / "m.zst"), cwd=stack.directory)
    wait_for(lambda: helpers() - before)
    process.send_signal(number)
    process.wait(30)
    process.communicate()
    wait_for(lambda: not helpers() - before)
    if process.returncode:
        assert names_of(stack) == set()
        assert not stack.exec("ollama", "sh", "-c", "ls -A /root/.ollama/models | grep stackctl || true")
    stack.stackctl("models", "restore", str(folder / "m.zst")).ok()
    digest = hashlib.sha256(
        stack.exec("ollama", "sh", "-c", "cat /root/.ollama/models/manifests/*/*/big/1").encode()
    ).hexdigest()
    listed = stack.stackctl("models", "list", "-i", "local", "--json").ok().json["models"]
    assert [m["digest"] for m in listed] == [digest]


def test_the_image_of_the_double_is_the_one_that_reads(stack: Project) -> None:
    running(stack)
    assert stack.containers()["ollama"]["Config"]["Image"] == OLLAMA
