"""Whatever goes wrong in the middle, the stack is as it was before."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from stackctl.adapters.docker import DockerEngine
from tests.support.cli import start_process
from tests.support.double import Double
from tests.support.project import VOLUMES, Project, backend, docker, ollama

# Healthy on the local server only; elsewhere it fails at once, or never comes to an end.
CHECK = 'case "$$OLLAMA_URL" in http://ollama:*) exit 0;; *) %s;; esac'


def prepare(stack: Project, elsewhere: str) -> None:
    check = {"test": ["CMD-SHELL", CHECK % elsewhere], "interval": "1s", "retries": 2, "timeout": "60s"}
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"], healthcheck=check)}, volumes=VOLUMES)
    stack.config()


def settings(stack: Project) -> tuple[object, ...]:
    """What a consumer is given and which containers there are, whatever their IDs."""
    found = stack.containers()
    return sorted(found["backend"]["Config"]["Env"]), {s: c["State"]["Status"] for s, c in found.items()}


def test_a_consumer_that_does_not_become_healthy(stack: Project, host_double: Double) -> None:
    prepare(stack, "echo no such luck; exit 1")
    stack.stackctl("up").ok()
    before, marks, files = settings(stack), stack.marks(), stack.files()
    failed = stack.stackctl("switch", f"http://localhost:{host_double.port}").ended(1)
    assert "backend is unhealthy: no such luck" in failed.err
    assert settings(stack) == before
    assert stack.marks()["ollama"] == marks["ollama"]
    assert stack.files() == files
    evidence = list((stack.directory / ".stackctl" / "evidence").glob("*/failure.json"))
    assert len(evidence) == 1
    assert str(evidence[0].parent) in failed.err
    history = stack.stackctl("history", "--json").ok().json["entries"]
    assert [e["outcome"] for e in history] == ["verified", "undone"]
    assert "nothing to do" in stack.stackctl("up").ok().out


def test_a_first_up_that_fails_leaves_nothing(stack: Project) -> None:
    broken = backend(entrypoint=["false"], depends_on=["ollama"])
    stack.compose({"ollama": ollama(), "backend": broken}, volumes=VOLUMES)
    stack.config()
    failed = stack.stackctl("up").ended(1)
    assert "backend ended with code" in failed.err
    assert stack.containers() == {}
    assert stack.state() is None
    assert not (stack.directory / ".stackctl" / "override.yaml").exists()


def waiting(process: subprocess.Popen[str], stack: Project) -> None:
    """Until the switch under way waits for health."""
    journal = stack.directory / ".stackctl" / "journal.jsonl"
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        lines = journal.read_text().splitlines() if journal.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("}")]
        if any(e["event"] == "start" and e["kind"] == "WaitHealthy" for e in events):
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"it did not come to wait: {process.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(number: signal.Signals, stack: Project, host_double: Double) -> None:
    prepare(stack, "sleep 50")
    stack.stackctl("up").ok()
    before, marks, files = settings(stack), stack.marks(), stack.files()
    process = start_process("switch", f"http://localhost:{host_double.port}", cwd=stack.directory)
    try:
        waiting(process, stack)
        held = stack.stackctl("switch", "local").ended(6)
        assert f"process {process.pid}, for " in held.err
        assert f"doing: switch http://localhost:{host_double.port}" in held.err
        said = stack.stackctl("ps").err
        assert "under way: switch" in said
        assert "rollback" not in said
        process.send_signal(number)
        _, said = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "interrupted; the stack is as it was before" in said
    assert settings(stack) == before
    assert stack.marks()["ollama"] == marks["ollama"]
    assert stack.files() == files


def test_killed_and_undone_by_the_next_command(stack: Project, host_double: Double) -> None:
    prepare(stack, "sleep 50")
    stack.stackctl("up").ok()
    before, files = settings(stack), stack.files()
    process = start_process("switch", f"http://localhost:{host_double.port}", cwd=stack.directory)
    try:
        waiting(process, stack)
    finally:
        process.kill()
        process.communicate()
    drift = stack.stackctl("status", "--json").ok().json["drift"]
    assert any("unfinished: switch" in line and "which is gone" in line for line in drift)
    left = stack.marks()
    assert "it must be undone before anything else can be planned" in stack.stackctl("up", "--dry-run").ended(1).err
    assert stack.marks() == left
    undone = stack.stackctl("up").ok()
    assert "undone: the stack is as it was before it" in undone.err
    assert settings(stack) == before
    assert stack.files().keys() == files.keys()
    assert stack.files()["override.yaml"] == files["override.yaml"]


SLOW_TO_END = "ollama serve & child=$$!; trap 'sleep 3; kill $$child; exit 0' TERM; wait $$child"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_server_that_was_told_to_end_runs_again(number: signal.Signals, stack: Project, host_double: Double) -> None:
    """The engine goes on with a stop whose caller has left: an undo that looks too early would find it running."""
    slow = ollama(entrypoint=["sh", "-c", SLOW_TO_END], command=[])
    stack.compose({"ollama": slow, "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config()
    stack.stackctl("up").ok()
    server = stack.marks()["ollama"][0]
    process = start_process("switch", f"http://localhost:{host_double.port}", cwd=stack.directory)
    try:
        engine, end = DockerEngine(), time.monotonic() + 60
        while not engine.being_stopped([server]) and process.poll() is None:
            assert time.monotonic() < end, "it was not told to end"
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -number), said
    if number == signal.SIGKILL:
        assert "undone: the stack is as it was before it" in stack.stackctl("rollback").err
    assert stack.running() == {"backend", "ollama"}
    assert "This is local-double" in stack.chat()["text"]


def test_a_server_that_ended_well_is_started_again(stack: Project) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config()
    stack.stackctl("up").ok()
    docker("stop", stack.containers()["ollama"]["Id"])
    assert stack.containers()["ollama"]["State"]["ExitCode"] == 0
    stack.stackctl("up").ok()
    assert "This is local-double" in stack.chat()["text"]
