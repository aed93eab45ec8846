"""The bundle is a new file, for its owner only."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from stackctl.adapters.archive import write
from stackctl.errors import ExpectedFailure


def test_a_new_file_of_its_owner(tmp_path: Path) -> None:
    write(str(tmp_path / "b.tar.gz"), {"a": b"x"})
    assert stat.S_IMODE((tmp_path / "b.tar.gz").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_nothing_is_overwritten_or_followed(tmp_path: Path, kind: str) -> None:
    other, path = tmp_path / "other", tmp_path / "b.tar.gz"
    if kind != "dangling":
        other.write_text("kept")
    if kind == "file":
        path.write_text("kept")
    else:
        path.symlink_to(other)
    with pytest.raises(ExpectedFailure, match="is there already"):
        write(str(path), {"a": b"x"})
    assert other.exists() is (kind != "dangling")
    assert path.is_symlink() or path.read_text() == "kept"
    assert not other.exists() or other.read_text() == "kept"
