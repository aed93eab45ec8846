"""A ``.stackctl/`` that came with a repository: nothing in it leads out of it, hangs, or is written through."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import Ran, run_here, run_process

pytestmark = pytest.mark.engine

COMPOSE = "services:\n  app:\n    image: stackctl.local/busybox:base\n    environment: {OLLAMA_URL: http://box:11434}\n"
CONFIG = 'version: 1\nconsumers: {app: {env: {OLLAMA_URL: "{url}"}}}\nmodels: [tiny]\nlocal: {gpu: none}\n'
VALUABLE = "export PATH=/usr/bin\n"
FILES = (
    "lock", "audit.log", "state.json", "override.yaml", "journal.jsonl", ".gitignore", "fixes.yaml",
    "project", "evidence",
)  # fmt: skip


def link(path: Path, valuable: Path) -> None:
    path.symlink_to(valuable)


def pipe(path: Path, _valuable: Path) -> None:
    os.mkfifo(path)


def sock(path: Path, _valuable: Path) -> None:
    # The name of a socket is short; the path of a test is not.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def device(path: Path, _valuable: Path) -> None:
    try:
        os.mknod(path, 0o20600, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("making a device wants root")


def hard_link(path: Path, valuable: Path) -> None:
    path.hardlink_to(valuable)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    here = tmp_path / "project"
    here.mkdir()
    (here / "compose.yaml").write_text(COMPOSE)
    (here / "stackctl.yaml").write_text(CONFIG)
    (tmp_path / "bashrc").write_text(VALUABLE)
    return here


def switch(here: Path) -> Ran:
    """What takes the lock and looks at all that is there, and ends before anything of the stack is touched."""
    begun = time.monotonic()
    ran = run_here("-C", here, "switch", "http://127.0.0.1:1")
    assert time.monotonic() - begun < 20
    return ran


@pytest.mark.parametrize("plant", [link, pipe, sock, device])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_plain_file_is_refused(
    directory: Path, tmp_path: Path, name: str, plant: Callable[[Path, Path], None]
) -> None:
    (directory / ".stackctl").mkdir()
    valuable = tmp_path / "bashrc"
    plant(directory / ".stackctl" / name, valuable)
    before = valuable.stat()
    for verb in (["switch", "http://127.0.0.1:1"], ["status"], ["history"]):
        ran = run_here("-C", directory, *verb)
        assert ran.code in (0, 1, 2), ran.text
        if verb[0] == "switch":
            assert f"/.stackctl/{name} is a" in ran.ended(2).err
    after = valuable.stat()
    assert valuable.read_text() == VALUABLE
    assert (after.st_mtime_ns, after.st_mode, after.st_nlink) == (before.st_mtime_ns, before.st_mode, before.st_nlink)


def test_a_lock_that_is_another_file_by_a_hard_link(directory: Path, tmp_path: Path) -> None:
    (directory / ".stackctl").mkdir()
    hard_link(directory / ".stackctl" / "lock", tmp_path / "bashrc")
    assert ".stackctl/lock is another file too" in switch(directory).ended(2).err
    assert (tmp_path / "bashrc").read_text() == VALUABLE


@pytest.mark.parametrize("deeper", [False, True])
def test_a_directory_that_leads_elsewhere(directory: Path, tmp_path: Path, deeper: bool) -> None:
    """``.stackctl`` itself, and the place of a further project in it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").write_text(VALUABLE)
    if deeper:
        (directory / ".stackctl" / "projects").mkdir(parents=True)
        (directory / ".stackctl" / "project").write_text("another\n")
        (directory / ".stackctl" / "projects" / "project").symlink_to(elsewhere)
    else:
        (directory / ".stackctl").symlink_to(elsewhere)
    assert "is a symbolic link" in switch(directory).ended(2).err
    run_here("-C", directory, "render", "--merged").ended(2)
    run_here("-C", directory, "status")
    assert [(p.name, p.read_text()) for p in elsewhere.iterdir()] == [("lock", VALUABLE)]


@pytest.mark.parametrize("kind", ["pipe", "device", "giant"])
@pytest.mark.parametrize("name", ["stackctl.yaml", ".env", "compose.yaml", "a.env", "more.yaml"])
def test_a_file_of_the_users_that_is_none(directory: Path, name: str, kind: str) -> None:
    """Refused at once with its name, by ``up`` and by ``init``."""
    if name in ("a.env", "more.yaml"):
        named = "{files: [compose.yaml, more.yaml], env_files: [a.env]}"
        (directory / "stackctl.yaml").write_text(f"{CONFIG}compose: {named}\n")
        for other in {"a.env", "more.yaml"} - {name}:
            (directory / other).write_text("")
    path = directory / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        device(path, path)
    else:
        with path.open("wb") as file:
            file.truncate(1 << 30)
    verbs = [["up"], ["status", "--json"]]
    if name not in ("a.env", "more.yaml", "stackctl.yaml"):
        verbs.append(["init", "--dry-run"])
    for verb in verbs:
        begun = time.monotonic()
        ran = run_process(*verb, cwd=directory, timeout=30).ended(2)
        assert name in ran.text
        assert time.monotonic() - begun < 15
