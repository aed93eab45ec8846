"""`stackctl instances` on real servers: told, asked from the host, asked from inside, watched."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackctl.config import edit
from tests.ollama.ways import authority
from tests.support.cli import start_process
from tests.support.double import Double
from tests.support.double import double as started
from tests.support.netlab import bridge_address
from tests.support.project import BUSYBOX, OLLAMA, Project, backend, docker

BASH_ALONE = (
    "/bin/mkdir /alone; for p in sh bash mktemp rm; do /bin/ln -s /bin/$$p /alone/$$p; done; exec /bin/sleep 600"
)
TOKEN = "canary-e2e-51b7"
YAML = """
    # who uses it
    version: 1
    consumers:
      backend: {env: {OLLAMA_URL: "{url}"}}   # the API
    gateway: true
    instances:
      # the first
      one:
        url: http://127.0.0.1:1   # not yet
"""


@pytest.fixture
def plain(stack: Project) -> Project:
    """A project whose containers never start."""
    stack.compose({"backend": backend()})
    stack.write("stackctl.yaml", YAML)
    return stack


def test_add_edit_remove_keep_the_rest_of_the_file(plain: Project) -> None:
    path = plain.directory / "stackctl.yaml"
    before = path.read_text()
    plain.stackctl("instances", "add", "two", "https://two.local", "--priority", "2", "--bearer", "${TWO_TOKEN}").ok()
    plain.stackctl("instances", "edit", "two", "--timeout", "5s", "--header", "X-Client-ID=me", "--disable").ok()
    plain.stackctl("instances", "edit", "two", "--basic-user", "u", "--basic-password", "${file:pw}").ok()
    entry = {e["name"]: e for e in plain.stackctl("instances", "list", "--json").ok().json["instances"]}["two"]
    assert (entry["auth"], entry["enabled"], entry["timeout_s"], entry["headers"]) == (
        "basic",
        False,
        5.0,
        ["X-Client-ID"],
    )
    plain.stackctl("instances", "remove", "two", "--yes").ok()
    assert path.read_text() == before
    listed = plain.stackctl("instances", "list").ok().out
    assert "one" in listed
    assert "two" not in listed


def test_six_at_once_keep_six(plain: Project) -> None:
    running = [
        start_process("instances", "add", f"n{n}", f"http://n{n}.local", "--json", cwd=plain.directory)
        for n in range(6)
    ]
    ended = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 6, ended
    listed = plain.stackctl("instances", "list", "--json").ok().json["instances"]
    assert {entry["name"] for entry in listed} == {"one", *(f"n{n}" for n in range(6))}
    assert not (plain.directory / ".stackctl").exists()


def test_what_an_editor_wrote_meanwhile_is_kept(plain: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plain.directory / "stackctl.yaml"
    theirs = path.read_text() + "default: one\n"
    original = edit.add_instance

    def interrupted(*arguments: Any) -> str:
        path.write_text(theirs)
        return original(*arguments)

    monkeypatch.setattr(edit, "add_instance", interrupted)
    assert "changed by somebody else" in plain.stackctl("instances", "add", "two", "http://two.local").ended(1).text
    assert path.read_text() == theirs


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "x", "box:11434"], "http://box:11434"),
        (["add", "x", "http://u:p@box"], "credentials"),
        (["add", "x", "http://box/api"], "http://box"),
        (["add", "one", "http://box"], "already"),
        (["add", "local", "http://box"], "local"),
        (["add", "x", "http://box", "--bearer", "sk-1234567890"], "literal secret is refused"),
        (["add", "x", "http://box", "--header", "Authorization=sk-1234567890"], "literal secret"),
        (["add", "x", "http://box", "--basic-user", "u"], "one needs the other"),
        (["add", "x", "http://box", "--timeout", "soon"], "duration"),
        (["add", "x", "http://box", "--endpoint", "nope=/x"], "nope"),
        (["edit", "nope", "--priority", "1"], "no instance"),
        (["edit", "one"], "nothing to change"),
        (["remove", "nope", "--yes"], "no instance"),
        (["remove", "one"], "nobody said yes"),
    ],
)
def test_what_is_wrong_changes_nothing(plain: Project, arguments: list[str], words: str) -> None:
    before = (plain.directory / "stackctl.yaml").read_bytes()
    ran = plain.stackctl("instances", *arguments).ended(2)
    assert words in ran.text
    assert "sk-1234567890" not in ran.text
    assert (plain.directory / "stackctl.yaml").read_bytes() == before


def test_every_state_and_what_mends_it(stack: Project, tmp_path: Path) -> None:
    with (
        started(tmp_path / "a", models=["tiny-chat"]) as well,
        started(tmp_path / "b", faults={"bearer": TOKEN}) as guarded,
        started(tmp_path / "c", faults={"prefix": "/deep"}) as deep,
        started(tmp_path / "d", faults={"routes": [{"match": "GET /api/tags", "status": 503, "body": "busy"}]}) as busy,
        socket.socket() as free,
    ):
        free.bind(("127.0.0.1", 0))
        stack.compose({"backend": backend()})
        stack.config(
            gateway=True,
            instances={
                "well": {"url": well.url}, "denied": {"url": guarded.url, "auth": {"bearer": "${WRONG}"}},
                "allowed": {"url": guarded.url, "auth": {"bearer": "${RIGHT}"}}, "deep": {"url": deep.url},
                "busy": {"url": busy.url}, "off": {"url": well.url, "enabled": False},
                "dead": {"url": f"http://127.0.0.1:{free.getsockname()[1]}"},
                "unset": {"url": well.url, "auth": {"bearer": "${NOT_SET_ANYWHERE}"}},
            },
        )  # fmt: skip
        env = {"RIGHT": TOKEN, "WRONG": "something-else"}
        ran = stack.stackctl("instances", "test", "--json", "-v", env=env).ended(1)
        text = stack.stackctl("instances", "test", "-v", env=env).ended(1).text
        one = stack.stackctl("instances", "test", "well", "--json", env=env).ok().json
    assert {e["name"]: e["state"] for e in ran.json["instances"]} == {
        "well": "healthy", "denied": "unauthorised", "allowed": "healthy", "deep": "misconfigured",
        "busy": "overloaded", "off": "disabled", "dead": "unreachable", "unset": "misconfigured",
    }  # fmt: skip
    for entry in ran.json["instances"]:
        assert entry["state"] in ("healthy", "disabled") or (entry["message"] and entry["hint"])
    assert "${NOT_SET_ANYWHERE} is not set" in text
    assert TOKEN not in ran.text + text
    assert one["instances"][0]["models"] == ["tiny-chat:latest"]
    assert one["instances"][0]["latency_ms"] > 0


@pytest.mark.parametrize("source", ["environment", "env_file", "file", "command"])
def test_a_token_from_every_source(stack: Project, tmp_path: Path, source: str) -> None:
    reference = {
        "environment": "${TOK}",
        "env_file": "${TOK}",
        "file": "${file:secrets/tok}",
        "command": "${cmd:cat secrets/tok}",
    }
    stack.compose({"backend": backend()})
    stack.write("secrets/tok", TOKEN + "\n")
    if source == "env_file":
        stack.write(".env", f"TOK={TOKEN}\n")
    with started(tmp_path / "guarded", faults={"bearer": TOKEN}) as guarded:
        stack.config(gateway=True, instances={"box": {"url": guarded.url, "auth": {"bearer": reference[source]}}})
        stack.env |= {"XDG_STATE_HOME": str(tmp_path / "state")}
        stack.stackctl("trust").ok()
        env = {"TOK": TOKEN} if source == "environment" else {}
        ran = stack.process("instances", "test", "-v", "--json", env=env).ok()
    assert ran.json["ok"] is True
    assert TOKEN not in ran.text
    kept = [p for p in (stack.directory / ".stackctl").rglob("*") if p.is_file()]
    assert not [p for p in kept if TOKEN.encode() in p.read_bytes()]


@pytest.fixture(scope="module")
def bare_image() -> Iterator[str]:
    """An image with one program and no shell."""
    busybox = subprocess.run(
        ["docker", "create", BUSYBOX, "true"], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        tar = subprocess.run(
            ["docker", "cp", "-L", f"{busybox}:/bin/busybox", "-"], capture_output=True, check=True
        ).stdout
    finally:
        docker("rm", "--force", busybox)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        member = archive.getmembers()[0]
        data = archive.extractfile(member).read()  # type: ignore[union-attr]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("sleep")
        entry.size, entry.mode = len(data), 0o755
        archive.addfile(entry, io.BytesIO(data))
    name = "sct-oside/bare:test"
    subprocess.run(
        ["docker", "import", "--change", "LABEL io.stackctl.test=1", "-", name],
        input=out.getvalue(),
        check=True,
        capture_output=True,
    )
    try:
        yield name
    finally:
        docker("rmi", name, check=False)


def test_from_inside_whatever_the_image_has(stack: Project, host_double: Double, bare_image: str) -> None:
    services = {
        "backend": backend(healthcheck={"disable": True}),
        "small": {"image": BUSYBOX, "command": ["sleep", "600"]},
        "bare": {"image": bare_image, "command": ["/sleep", "600"], "init": False},
    }
    stack.compose(services)
    stack.config(
        instances={
            "host": {"url": f"http://localhost:{host_double.port}"},
            "nobody": {"url": "http://localhost:9"},
            "noname": {"url": "http://no-such-name.invalid:11434"},
        }
    )
    docker("compose", "--project-directory", str(stack.directory), "up", "--detach")
    before = stack.marks()
    for service in services:
        ran = stack.stackctl("instances", "test", "--from", service, "--json").ended(1).json
        assert ran["from"] == service
        states = {e["name"]: (e["state"], e["cause"]) for e in ran["instances"]}
        assert states == {
            "host": ("healthy", None), "nobody": ("unreachable", "connection-refused"),
            "noname": ("unreachable", "name-not-resolved"),
        }, service  # fmt: skip
    assert stack.marks() == before
    left = docker("ps", "--all", "--quiet", "--filter", f"network=container:{stack.containers()['bare']['Id']}")
    assert left == ""
    assert "no container of a service" in stack.stackctl("instances", "test", "--from", "nope").ended(2).text


def test_forty_from_inside_are_asked_at_once(stack: Project, host_double: Double) -> None:
    """In the time of the slowest, whatever the image has: a process for each told the healthy unreachable."""
    with socket.create_server((bridge_address(), 0)) as mute:
        dead = mute.getsockname()[1]
        ports = [host_double.port] * 30 + [dead] * 10
        stack.compose(
            {
                "backend": backend(healthcheck={"disable": True}),
                "small": {"image": BUSYBOX, "command": ["sleep", "600"]},
                # An image with bash and no python: only what is linked here is found.
                "bash": {
                    "image": OLLAMA,
                    "entrypoint": ["/bin/sh", "-c", BASH_ALONE],
                    "environment": {"PATH": "/alone"},
                    "init": True,
                },
            }
        )
        stack.config(
            instances={
                f"i{n}": {"url": f"http://localhost:{port}", "timeout": "20s" if port != dead else "1s"}
                for n, port in enumerate(ports)
            }
        )
        docker("compose", "--project-directory", str(stack.directory), "up", "--detach")
        for service in ("backend", "small", "bash"):
            container = stack.containers()[service]["Id"]
            before, begun = docker("top", container, "-o", "pid,args"), time.monotonic()
            ran = stack.stackctl("instances", "test", "--from", service, "--json").ended(1).json
            assert time.monotonic() - begun < 10  # one after the other, the silent alone would take as long
            states = [e["state"] for e in ran["instances"]]
            assert states == ["healthy"] * 30 + ["unreachable"] * 10, service
            assert docker("top", container, "-o", "pid,args") == before


def test_watch_until_it_is_interrupted(plain: Project, tmp_path: Path) -> None:
    with started(tmp_path / "a", models=["tiny-chat"]) as well:
        plain.stackctl("instances", "edit", "one", "--url", well.url).ok()
        process = start_process("instances", "test", "--watch", "--interval", "0.5", cwd=plain.directory)
        assert process.stdout is not None
        seen = []
        until = time.monotonic() + 20
        while sum("healthy" in line for line in seen) < 2:
            assert time.monotonic() < until
            seen.append(process.stdout.readline())
        well.stop()
        while not any("unreachable" in line for line in seen):
            assert time.monotonic() < until
            seen.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        process.communicate()
    assert "one document" in plain.stackctl("instances", "test", "--watch", "--json").ended(2).text


def test_a_name_that_is_no_text_is_wrong_usage(plain: Project) -> None:
    before = (plain.directory / "stackctl.yaml").read_bytes()
    assert "no UTF-8 text" in plain.process("instances", "add", os.fsdecode(b"\xff"), "http://a").ended(2).text
    assert (plain.directory / "stackctl.yaml").read_bytes() == before


def test_json_holds_what_a_script_needs(plain: Project) -> None:
    document = plain.stackctl("instances", "test", "--json").ended(1).json
    assert document["schema"] == "stackctl.instances-test/1"
    keys = {"name", "url", "state", "latency_ms", "version", "models", "loaded", "checked", "cause", "message", "hint"}
    assert set(document["instances"][0]) == keys
    assert json.loads(json.dumps(document)) == document


def test_tls_end_to_end_through_a_consumer(stack: Project, tmp_path: Path) -> None:
    made = authority(tmp_path / "ca", "ollama.example.com")
    stack.compose({"small": {"image": BUSYBOX, "command": ["sleep", "600"]}})
    (stack.directory / "ca.pem").write_bytes(made.ca.read_bytes())
    with started(tmp_path / "double", host=bridge_address(), tls=(made.certificate, made.key)) as secured:
        url = f"https://localhost:{secured.port}"
        tls = {"ca_file": "ca.pem", "server_name": "ollama.example.com"}
        stack.config(consumers={}, instances={"good": {"url": url, "tls": tls}, "bad": {"url": url}})
        docker("compose", "--project-directory", str(stack.directory), "up", "--detach")
        found = stack.stackctl("instances", "test", "--from", "small", "--json").ended(1).json["instances"]
    assert {e["name"]: (e["state"], e["cause"]) for e in found} == {
        "good": ("healthy", None), "bad": ("misconfigured", "tls"),
    }  # fmt: skip
