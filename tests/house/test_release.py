"""A release, made in a clone: what it writes, and what it refuses."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = "9.8.7"


def git(at: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=at, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def release(at: Path, version: str = VERSION) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/release", version], cwd=at, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The checkout as it is now, committed, with something to release."""
    files = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    at = tmp_path / "stackctl"
    at.mkdir()
    for name in files:
        if (ROOT / name).is_file():
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            (at / name).write_bytes((ROOT / name).read_bytes())
            (at / name).chmod((ROOT / name).stat().st_mode)
    changes = at / "CHANGELOG.md"
    changes.write_text(changes.read_text().replace("## [Unreleased]\n", "## [Unreleased]\n### Added\n- A line.\n", 1))
    (at / ".venv").symlink_to(ROOT / ".venv")
    git(at, "init", "-q", "-b", "main")
    (at / ".git/info/exclude").write_text("/.venv\n")
    git(at, "config", "user.name", "Somebody")
    git(at, "config", "user.email", "somebody@example.org")
    git(at, "add", "--all")
    git(at, "commit", "-q", "-m", "all of it")
    return at


def test_a_release_is_a_version_a_changelog_a_tag_and_two_archives(clone: Path) -> None:
    done = release(clone)
    assert done.returncode == 0, done.stderr
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "tag", "--points-at", "HEAD") == f"v{VERSION}"
    assert git(clone, "log", "-1", "--format=%s") == f"release: stackctl {VERSION}"
    assert f'__version__ = "{VERSION}"' in (clone / "stackctl/__init__.py").read_text()
    changes = (clone / "CHANGELOG.md").read_text()
    assert re.search(
        rf"^## \[Unreleased\]\n\n## \[{VERSION}\] - \d{{4}}-\d\d-\d\d\n### Added\n- A line\.\n", changes, re.MULTILINE
    )
    with zipfile.ZipFile(clone / f"dist/stackctl-{VERSION}-py3-none-any.whl") as wheel:
        held = set(wheel.namelist())
        assert f"Version: {VERSION}\n" in wheel.read(f"stackctl-{VERSION}.dist-info/METADATA").decode()
    assert {"stackctl/py.typed", "stackctl/cli/entry.py"} <= held
    with tarfile.open(clone / f"dist/stackctl-{VERSION}.tar.gz") as sdist:
        assert {f"stackctl-{VERSION}/{name}" for name in ("CHANGELOG.md", "LICENSE")} <= set(sdist.getnames())

    again = release(clone)
    assert again.returncode == 1
    assert f"v{VERSION} is tagged already" in again.stderr
    empty = release(clone, "9.8.8")
    assert empty.returncode == 1
    assert "nothing under [Unreleased]" in empty.stderr


def test_a_tree_with_changes_is_refused(clone: Path) -> None:
    (clone / "README.md").write_text("changed\n")
    done = release(clone)
    assert done.returncode == 1
    assert "changes that are not committed" in done.stderr
    assert git(clone, "tag") == ""


@pytest.mark.parametrize("version", ["", "1.0", "v1.0.0"])
def test_a_version_has_three_numbers(version: str, clone: Path) -> None:
    done = release(clone, version)
    assert done.returncode == 1
    assert "say which version" in done.stderr


def test_a_build_that_fails_leaves_the_tree_as_it_was(clone: Path) -> None:
    (clone / "README.md").unlink()
    git(clone, "commit", "-q", "--all", "-m", "no README, which the build needs")
    done = release(clone)
    assert done.returncode == 1
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "tag") == ""
