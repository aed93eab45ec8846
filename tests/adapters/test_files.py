"""Files on real file systems: atomic, private, honest about what stood in the way; the lock of a project."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.adapters.files import LocalFiles
from stackctl.errors import ExpectedFailure, ProjectLocked, WrongInput
from tests.host.lab import need

FILES = LocalFiles()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    need("mount", "umount")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory with one file, mounted so that nobody may write to it."""
    need("mount", "umount")
    place = tmp_path / "fixed"
    place.mkdir()
    (place / "state.json").write_text("old")
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_written_privately_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "state.json"
    assert FILES.write(path, b"one") is True
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    before = path.stat()
    assert FILES.write(path, b"one") is False
    assert path.stat() == before
    assert FILES.write(path, b"two") is True
    assert path.stat().st_ino != before.st_ino
    assert [p.name for p in path.parent.iterdir()] == ["state.json"]


def test_a_full_disk_leaves_the_old_file(small_disk: Path) -> None:
    path = small_disk / "override.yaml"
    FILES.write(path, b"old")
    with pytest.raises(ExpectedFailure, match="cannot be written: the disk is full") as caught:
        FILES.write(path, b"x" * 100_000)
    assert caught.value.hint == f"df -h {small_disk}"
    assert path.read_bytes() == b"old"
    assert [p.name for p in small_disk.iterdir()] == ["override.yaml"]
    (small_disk / "filler").write_bytes(b"")
    with pytest.raises(ExpectedFailure, match="the disk is full"):
        FILES.append(small_disk / "audit.log", "y" * 100_000)
    FILES.append(small_disk / "audit.log", "short")
    assert (small_disk / "audit.log").read_text() == "short\n"


def test_a_read_only_directory(read_only: Path) -> None:
    path = read_only / "state.json"
    for action in (
        lambda: FILES.write(path, b"new"),
        lambda: FILES.append(path, "line"),
        lambda: FILES.remove(path),
        lambda: FILES.lock(read_only / "lock", "up").__enter__(),
        lambda: FILES.write(read_only / "below" / "x", b""),
    ):
        with pytest.raises(ExpectedFailure, match="the file system is read-only") as caught:
            action()
        assert caught.value.hint.startswith("findmnt -T ")
    assert path.read_bytes() == b"old"
    assert FILES.write(path, b"old") is False


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert FILES.read(path) is None
    path.write_bytes(b"0123456789")
    assert FILES.read(path) == b"0123456789"
    assert FILES.read(path, limit=4) == b"01234"
    assert FILES.read(path, limit=0) == b"0"
    with pytest.raises(WrongInput, match="is a directory, not a file"):
        FILES.read(tmp_path)
    with pytest.raises(WrongInput, match="is a file, not a directory"):
        FILES.read(path / "below")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WrongInput, match="is a named pipe"):
        FILES.read(tmp_path / "pipe")


def test_removing_and_listing(tmp_path: Path) -> None:
    FILES.remove(tmp_path / "nothing")
    tree = tmp_path / "tree"
    FILES.write(tree / "a" / "b", b"")
    (tmp_path / "link").symlink_to(tree)
    assert FILES.names(tmp_path) == ["link/", "tree/"]
    FILES.remove(tmp_path / "link")
    assert FILES.names(tmp_path) == ["tree/"]
    FILES.remove(tree)
    assert FILES.names(tmp_path) == []
    assert FILES.names(tree) == []


def test_appending(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for number in range(3):
        FILES.append(path, json.dumps({"n": number}))
    assert path.read_text() == '{"n": 0}\n{"n": 1}\n{"n": 2}\n'
    path.write_text('{"n": 0}\n{"cut o')
    FILES.append(path, "whole")
    assert path.read_text().splitlines() == ['{"n": 0}', '{"cut o', "whole"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


HOLD = """
import sys, pathlib
from stackctl.adapters.files import LocalFiles
with LocalFiles().lock(pathlib.Path(sys.argv[1]), "switch box"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_says_who_holds_it_and_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / ".stackctl" / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ProjectLocked) as caught, FILES.lock(path, "up"):
            pytest.fail("two hold it")
        assert f"process {holder.pid}, for 0 s, doing: switch box" in caught.value.message
        assert caught.value.hint.endswith(f"ps -fp {holder.pid}")
    finally:
        holder.kill()
        holder.communicate()
    with FILES.lock(path, "up"):
        assert json.loads(path.read_text())["purpose"] == "up"
    assert path.read_text() == ""


def test_a_lock_whose_file_its_holder_removes(tmp_path: Path) -> None:
    path = tmp_path / ".stackctl" / "lock"
    with FILES.lock(path, "first"):
        FILES.remove(path.parent)
    with FILES.lock(path, "second"), pytest.raises(ProjectLocked), FILES.lock(path, "third"):
        pytest.fail("two hold it")
