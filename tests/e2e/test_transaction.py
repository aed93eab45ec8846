"""The switch as a transaction, on the real engine: what it touches and when, what a kill leaves, who may work."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import start_process
from tests.support.double import Double, double
from tests.support.netlab import bridge_address
from tests.support.project import MODEL, VOLUMES, Project, backend, bystander, docker, ollama
from tests.support.twoservers import answered_by, prepare, refused

BACKEND = {"env": {"OLLAMA_URL": "{url}", "OLLAMA_MODEL": "{model}"}}


def steps(stack: Project) -> list[dict[str, Any]]:
    """What the journal of the transaction under way says; a line under way is left out."""
    path = stack.directory / ".stackctl" / "journal.jsonl"
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("}")]


@contextlib.contextmanager
def journal_of(stack: Project) -> Iterator[list[dict[str, Any]]]:
    """The journal as it was last seen while the block lasts."""
    seen: list[dict[str, Any]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.003):
            found = steps(stack)
            if len(found) >= len(seen):
                seen[:] = found

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def killed_at(stack: Project, kind: str, *arguments: str) -> None:
    """Run stackctl and kill it, for good, as soon as its journal says that this step begins."""
    process = start_process(*arguments, cwd=stack.directory)
    end = time.monotonic() + 90
    try:
        while not any(e["event"] == "start" and e["kind"] == kind for e in steps(stack)):
            assert process.poll() is None, f"it ended before {kind}: {process.communicate()}"
            assert time.monotonic() < end, f"{kind} did not come"
            time.sleep(0.002)
    finally:
        process.kill()
        process.communicate()


# -- what is touched, and when ------------------------------------------------


def test_only_what_must_change_and_the_local_one_last(stack: Project, host_double: Double) -> None:
    """Consumers on several networks move, a bystander stays, and the old server goes after the new one is proved."""
    near, far_off = {"networks": ["front"]}, {"networks": ["back", "side"]}
    stack.compose(
        {
            "ollama": ollama(networks=["front", "back"]),
            "backend": backend(**near),
            "worker": backend(**far_off),
            "page": bystander(networks=["front", "side"]),
        },
        volumes=VOLUMES,
        networks={"front": {}, "back": {}, "side": {}},
    )
    stack.config(
        consumers={"backend": BACKEND, "worker": BACKEND},
        instances={"host": {"url": f"http://localhost:{host_double.port}"}},
    )
    stack.stackctl("up", "local").ok()
    marks = stack.marks()
    begun = time.time()
    with journal_of(stack) as seen:
        stack.stackctl("switch", "host").ok()
    proved = next(e["at"] for e in seen if e["event"] == "done" and e["kind"] == "VerifyConsumers")
    deaths = docker(
        "events", "--since", str(begun), "--until", str(time.time()), "--filter", "event=die",
        "--filter", f"container={marks['ollama'][0]}", "--format", "{{.TimeNano}}",
    ).split()  # fmt: skip
    assert len(deaths) == 1
    assert int(deaths[0]) / 1e9 > proved
    now = stack.marks()
    assert now.pop("page") == marks["page"]
    assert now.keys() == {"backend", "worker"}
    assert all(marks[service] != mark for service, mark in now.items())
    for service in ("backend", "worker"):
        answered_by(stack, "host-double", service)
    marks = stack.marks()
    stack.stackctl("switch", "local").ok()
    assert stack.marks()["page"] == marks["page"]
    for service in ("backend", "worker"):
        answered_by(stack, "local-double", service)


def test_a_target_without_the_model_and_yes(stack: Project, tmp_path: Path) -> None:
    with double(tmp_path / "bare", host="0.0.0.0", name="bare-double") as bare:
        prepare(stack, bare, models=["llama3.2:1b"])
        stack.stackctl("up", "local").ok()
        marks, files = stack.marks(), stack.files()
        refused(stack.stackctl("switch", "host"), 1, "llama3.2:1b", "stackctl switch host --yes")
        assert (stack.marks(), stack.files()) == (marks, files)
        stack.stackctl("switch", "host", "--yes").ok()
        assert any(asked["target"] == "/api/pull" for asked in bare.requests())
        answered_by(stack, "bare-double")


def test_a_failed_verification_is_undone_with_its_evidence(stack: Project, host_double: Double) -> None:
    own = 'case "$OLLAMA_URL" in http://ollama:*) exit 0;; *) echo not to my taste; exit 1;; esac'
    prepare(stack, host_double, consumers={"backend": {**BACKEND, "verify": {"exec": ["sh", "-c", own]}}})
    stack.stackctl("up", "local").ok()
    marks, files = stack.marks(), stack.files()
    failed = stack.stackctl("switch", "host")
    refused(failed, 1, "not to my taste", "evidence: ")
    evidence = Path(failed.err.partition("evidence: ")[2].split()[0])
    assert "not to my taste" in (evidence / "failure.json").read_text()
    assert list(evidence.glob(f"{stack.name}-backend-1.log"))
    now = stack.marks()
    assert {s: now[s] for s in ("ollama", "page")} == {s: marks[s] for s in ("ollama", "page")}
    assert stack.files() == files
    answered_by(stack, "local-double")


def test_with_a_gateway_nothing_is_recreated(stack: Project, host_double: Double) -> None:
    with contextlib.ExitStack() as servers:
        second = servers.enter_context(
            double(stack.directory / "second", host=bridge_address(), name="second-double", models=[MODEL])
        )
        instances = {n: {"url": f"http://localhost:{s.port}"} for n, s in (("host", host_double), ("second", second))}
        prepare(stack, host_double, gateway=True, instances=instances)
        stack.stackctl("up", "host").ok()
        answered_by(stack, "host-double")
        marks = stack.marks()
        for name in ("second", "host"):
            stack.stackctl("switch", name).ok()
            answered_by(stack, f"{name}-double")
            assert stack.marks() == marks
        second.stop()
        files = stack.files()
        refused(stack.stackctl("switch", "second"), 1, "cannot serve")
        assert (stack.marks(), stack.files()) == (marks, files)
        killed_at(stack, "ReloadGateway", "switch", "local")
        stack.stackctl("rollback").ok()
        answered_by(stack, "host-double")
        assert stack.marks() == marks


# -- killed, locked, damaged --------------------------------------------------


@pytest.mark.parametrize("kind", ["ComposeUp", "VerifyConsumers", "RemoveContainer"])
def test_killed_at_a_step(kind: str, stack: Project, host_double: Double) -> None:
    prepare(stack, host_double)
    stack.stackctl("up", "local").ok()
    stack.stackctl("switch", "host").ok()
    stack.stackctl("switch", "local").ok()
    files = stack.files()
    killed_at(stack, kind, "switch", "host")
    looked, marks = stack.files(), stack.marks()
    status = stack.stackctl("status").ok()
    assert "unfinished: switch host" in status.text
    assert stack.files() == looked
    if kind == "VerifyConsumers":  # nothing moves at that step, so that what moved would be by `status`
        assert stack.marks() == marks
    verb = "rollback" if kind == "ComposeUp" else "up"
    done = stack.stackctl(verb).ok()
    assert "unfinished: switch host" in done.text
    state = stack.state()
    assert state is not None
    assert state["profile"] == "local"
    assert stack.files().keys() == files.keys()
    assert stack.files()["override.yaml"] == files["override.yaml"]
    assert stack.running() == {"backend", "page", "ollama"}
    answered_by(stack, "local-double")
    assert stack.stackctl("status", "--json").ok().json["drift"] == []


HOLDER = """
import fcntl, json, os, sys, time
with open(sys.argv[1], "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    json.dump({"pid": os.getpid(), "since": time.time() - 61, "purpose": "switch elsewhere"}, lock)
    lock.flush()
    print(flush=True)
    sys.stdin.read()
"""


def test_the_lock_and_a_dead_holder(stack: Project, host_double: Double) -> None:
    """A holder that lives is named; one that died is not in the way, whatever it left in the file."""
    prepare(stack, host_double)
    stack.stackctl("up", "local").ok()
    lock = stack.directory / ".stackctl" / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        for verb in (["switch", "host"], ["up"], ["rollback"], ["down"]):
            refused(stack.stackctl(*verb), 6, f"process {process.pid}, for 6", "doing: switch elsewhere")
        stack.stackctl("status").ok()
    finally:
        process.kill()
        process.communicate()
    assert str(process.pid) in lock.read_text()
    stack.stackctl("switch", "host").ok()
    answered_by(stack, "host-double")


STATE_DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "another version": (lambda t: t.replace("stackctl.state/1", "stackctl.state/7"), "another version of stackctl"),
    "edited by hand": (lambda t: t.replace('"profile"', "profile"), "damaged or edited by hand"),
    "emptied": (lambda _t: "", "damaged or edited by hand"),
}


def test_files_that_are_not_as_we_wrote_them(stack: Project, host_double: Double) -> None:
    prepare(stack, host_double)
    stack.stackctl("up", "local").ok()
    marks, folder = stack.marks(), stack.directory / ".stackctl"
    good = (folder / "state.json").read_text()
    for change, says in STATE_DAMAGE.values():
        (folder / "state.json").write_text(change(good))
        files = stack.files()
        for verb in (["up"], ["switch", "host"], ["status"]):
            refused(stack.stackctl(*verb), 2, says, "state.json")
        assert (stack.marks(), stack.files()) == (marks, files)
    (folder / "state.json").unlink()
    assert "nothing to do" in stack.stackctl("up").ok().out
    assert stack.marks() == marks
    begin = {"event": "begin", "schema": "stackctl.journal/9", "purpose": "switch host", "pid": 1, "at": 0}
    torn = '{"event": "be\n{"event": "start", "step": 0, "kind": "ComposeUp", "at": 1}\n'
    for text in (json.dumps(begin) + "\n", torn):
        (folder / "journal.jsonl").write_text(text)
        files = stack.files()
        for verb in (["up"], ["switch", "host"], ["rollback"]):
            refused(stack.stackctl(*verb), 2, "journal.jsonl")
        assert (stack.marks(), stack.files()) == (marks, files)
    (folder / "journal.jsonl").unlink()
    stack.stackctl("switch", "host").ok()


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of its own, gone afterwards."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_disk_full_and_read_only(stack: Project, host_double: Double) -> None:
    prepare(stack, host_double)
    folder = stack.directory / ".stackctl"
    with small_disk(folder, 128):
        stack.stackctl("up", "local").ok()
        marks, state = stack.marks(), stack.state()
        with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        refused(stack.stackctl("switch", "host"), 1, "the disk is full", "df -h")
        assert (stack.marks(), stack.state()) == (marks, state)
        answered_by(stack, "local-double")
        (folder / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        refused(stack.stackctl("switch", "host"), 1, "the file system is read-only")
        assert (stack.marks(), stack.state()) == (marks, state)
        stack.stackctl("status").ok()
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        stack.stackctl("switch", "host").ok()
        answered_by(stack, "host-double")


def test_switches_at_once(stack: Project, host_double: Double) -> None:
    prepare(stack, host_double)
    stack.stackctl("up", "local").ok()
    processes = {target: start_process("switch", target, cwd=stack.directory) for target in ("host", "local")}
    codes = {}
    for target, process in processes.items():
        _, said = process.communicate(timeout=120)
        codes[target] = process.returncode
        assert process.returncode in (0, 6), said
    state = stack.state()
    assert state is not None
    assert codes[state["profile"]] == 0
    answered_by(stack, f"{state['profile']}-double")
    assert not (stack.directory / ".stackctl" / "journal.jsonl").exists()
    assert (stack.directory / ".stackctl" / "state.json").stat().st_mode & 0o777 == 0o600
