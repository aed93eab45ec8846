"""No verb shows a secret: not what it prints, writes, starts or leaves, in whatever encoding."""

from __future__ import annotations

import base64
import io
import os
import secrets
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from stackctl.cli.globals import Settings
from stackctl.cli.wiring import session as session_of
from stackctl.commands.context.project_loader import load
from stackctl.commands.reconcile.evidence import keep_evidence
from stackctl.waiting import until
from tests.hostile.test_interrupts import lines
from tests.support.project import BUSYBOX, Project, docker, project

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PLACES = ("bearer", "basic", "header", "envfile", "url", "label", "argument")
LAST = ("down", "detach")
ATTACHED = ("exec", "ps", "logs", "restart", "down", "compose", "provider")
"""These lend Compose our streams: they are run as processes of their own."""


class Canaries:
    """A secret for each place, and what gives one away."""

    def __init__(self) -> None:
        self.values = {place: f"{place}-canary/{secrets.token_hex(8)}" for place in PLACES}
        self._marks = {mark.encode() for value in self.values.values() for mark in self._spelt(value)}

    @staticmethod
    def _spelt(value: str) -> Iterator[str]:
        yield from (value, quote(value, safe=""), value.replace("/", "\\/"))
        for before in range(3):
            # Without the characters that also hold bits of what stands beside it.
            yield base64.b64encode(b"u" * before + value.encode()).decode().rstrip("=")[4:-2]

    def in_(self, data: bytes | str) -> list[str]:
        """Those that stand in ``data``, in any encoding."""
        found = data.encode() if isinstance(data, str) else data
        return [mark.decode() for mark in self._marks if mark in found]


@contextmanager
def command_lines_of_all(seen: set[bytes]) -> Iterator[None]:
    """Collect what every process of this machine was started with, as long as it lasts."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        seen.add(Path(entry.path, "cmdline").read_bytes())
                    except OSError:  # it has ended meanwhile
                        continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def here(tmp_path: Path, canaries: Canaries) -> Iterator[Project]:
    with project(tmp_path / "project", "canary") as made:
        of = canaries.values
        app = {
            "image": BUSYBOX,
            "init": True,
            "entrypoint": ["sh", "-c", "sleep 600", "sh", "--api-key", of["argument"]],
            "environment": {
                "OLLAMA_URL": "http://127.0.0.1:1", "DB_PASSWORD": "${DB_PASSWORD}",
                "DATABASE_URL": "postgres://u:${URL_PART}@db/x",
            },
            "labels": {"app.auth-token": of["label"]},
            "stop_grace_period": "0s",
        }  # fmt: skip
        made.compose({"app": app})
        made.write(".env", f"URL_PART={of['url']}\n")
        made.write("secret.env", f"DB_PASSWORD={of['envfile']}\nBASIC={of['basic']}\n")
        made.write("header", of["header"])
        made.config(
            compose={"env_files": [".env", "secret.env"]},
            consumers={"app": {"env": {"OLLAMA_URL": "{url}", "API_KEY": "{token}"}}},
            instances={
                "box": {"url": "http://127.0.0.1:1", "auth": {"bearer": "${BOX_TOKEN}"}},
                "basic": {"url": "http://127.0.0.1:2", "auth": {"basic": {"user": "u", "password": "${BASIC}"}}},
                "header": {"url": "http://127.0.0.1:3", "headers": {"X-API-Key": "${file:header}"}},
            },
            default="box", on_unreachable="degrade",
        )  # fmt: skip
        made.env = {"BOX_TOKEN": of["bearer"], "XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
        yield made


def every_line() -> list[list[str]]:
    """Each verb, what shows most of them besides, and at last those that take the stack away."""
    first = [["up"]]
    more = [
        ["render", "box", "--merged"], ["diagnose", "--markdown"], ["diagnose", "--bundle", "bundle.tar.gz"],
        ["compose", "--", "config"], ["compose", "--", "--profile", "x", "config"], ["switch", "box", "--dry-run"],
        ["switch", "http://u:pw/x@127.0.0.1:1"], ["instances", "test"],
    ]  # fmt: skip
    rest = [line for line in lines() if line[0] not in (*LAST, "up")]
    return [*first, *more, *rest, *([verb] for verb in LAST)]


def test_no_verb_shows_one(here: Project, canaries: Canaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    begun: set[bytes] = set()
    labels = ""
    with command_lines_of_all(begun):
        for line in every_line():
            for flag in ("-v", "--json"):
                monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
                run = here.process if line[0] in ATTACHED else here.stackctl
                ran = run(flag, *line)
                assert ran.code in (0, 1, 2), f"{line}: {ran.text}"
                assert not canaries.in_(ran.text), f"{line} {flag}: {ran.text}"
            if line == ["up"]:
                assert here.containers(), "it is to be up for the rest"
                label = "com.docker.compose.project"
                labels = docker("ps", "--all", "--filter", f"label={label}={here.name}", "--format", "{{.Labels}}")
    assert not canaries.in_(labels.replace(canaries.values["label"], ""))
    assert any(b"compose" in line for line in begun)
    own = {line for line in begun if canaries.values["argument"].encode() not in line}  # the app's own command line
    assert not [line for line in own if canaries.in_(line)]
    written = [p for p in (*here.directory.rglob("*"), *(tmp_path / "state").rglob("*")) if p.is_file()]
    given = ("compose.yaml", ".env", "secret.env", "header")
    assert not [str(p) for p in written if p.name not in given and canaries.in_(p.read_bytes())]
    with tarfile.open(next(tmp_path.rglob("bundle.tar.gz"))) as bundle:
        for member in bundle.getmembers():
            stream = bundle.extractfile(member)
            data = stream.read() if stream else b""
            assert not canaries.in_(data), member.name
            assert not any(byte < 32 and byte != 10 for byte in data), member.name


def test_a_bug_report(here: Project, canaries: Canaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = canaries.values

    def broken(*_arguments: object, **_options: object) -> None:
        pair = base64.b64encode(f"u:{values['bearer']}".encode()).decode()
        raise RuntimeError(f"{values['bearer']} {pair} postgres://u:{values['url']}@db --api-key {values['argument']}")

    monkeypatch.setattr("stackctl.commands.stack.status.status", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ran = here.stackctl("status").ended(3)
    report = next(tmp_path.glob("stackctl-bug-*.txt")).read_text()
    assert "RuntimeError" in report
    assert not canaries.in_(report + ran.text)


def test_evidence(here: Project, canaries: Canaries, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an app wrote into its own log is kept without it."""
    says = "echo $$DB_PASSWORD $$DATABASE_URL $$API_KEY; echo $$API_KEY | base64; sleep 600"
    path = here.directory / "compose.yaml"
    path.write_text(path.read_text().replace("sleep 600", says))
    here.stackctl("up").ok()
    assert until(lambda: canaries.in_(docker("logs", here.containers()["app"]["Id"])), within=10, every=0.1)
    for name, value in here.env.items():
        monkeypatch.setenv(name, str(value))
    settings = Settings(directory=str(here.directory))
    session = session_of(SimpleNamespace(find_object=lambda _kind: settings))  # type: ignore[arg-type]
    load(session)
    kept = keep_evidence(session, here.name, [], RuntimeError(f"no: {canaries.values['bearer']}"))
    assert kept is not None
    files = [p for p in kept.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".log", ".json"}
    assert not [p for p in files if canaries.in_(p.read_bytes())]
