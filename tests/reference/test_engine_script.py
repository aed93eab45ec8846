"""What scripts/engine decides: versions, and which packages apt is asked for, with apt's answers forced."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def bash(text: str, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    libraries = "".join(f'. "{SCRIPTS}/lib/{name}.sh"\n' for name in ("say", "apt", "engine", "engine-packages"))
    search = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{libraries}{text}", "test", *arguments],
        env={"PATH": search, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("have", "wanted", "enough"),
    [
        ("2.24.4", "2.24.4", True),
        ("v2.26.1", "2.24.4", True),
        ("2.40.3-3", "2.24.4", True),
        ("2.24.3", "2.24.4", False),
        ("2.9.0", "2.24.4", False),
        ("10.0.0", "2.24.4", True),
        ("1.29.2", "2.24.4", False),
        ("28.5.2+dfsg4", "24", True),
        ("24.0.0~rc1", "24", True),
        ("20.10.24+dfsg1", "24", False),
        ("", "24", False),
    ],
)
def test_versions_are_compared_as_versions(have, wanted, enough):
    assert (bash('at_least "$1" "$2"', have, wanted).returncode == 0) is enough


def fake(path: Path, name: str, body: str) -> None:
    program = path / name
    program.write_text(f"#!/usr/bin/env bash\n{body}\n")
    program.chmod(0o755)


@pytest.fixture
def apt(tmp_path):
    """An apt whose simulation answers with the lines given; every package has a candidate."""

    def answering(*lines: str, code: int = 0) -> Path:
        text = "\n".join(lines)
        fake(tmp_path, "apt-get", f"cat <<'TOLD'\n{text}\nTOLD\nexit {code}")
        fake(tmp_path, "apt-cache", "printf '%s:\\n  Installed: (none)\\n  Candidate: 1\\n' \"$2\"")
        fake(tmp_path, "dpkg-query", "exit 1")
        return tmp_path

    return answering


NEW = (
    "Inst docker-compose (2.26.1-4 Debian:13.7/stable [amd64])",
    "Inst docker.io (26.1.5+dfsg1-9 Debian:13.7/stable [amd64])",
)


def test_a_release_that_is_new_enough_is_taken(apt):
    assert bash("engine_can_install", path=apt(*NEW)).returncode == 0


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("Inst docker-compose (1.29.2-3 Debian:12 [all])", NEW[1]), 0),
        ((NEW[0], "Inst docker.io (20.10.24+dfsg1-1 Debian:12 [amd64])"), 0),
        ((*NEW, "Remv docker-ce [5:28.0.0]"), 0),
        (("E: Unable to correct problems, you have held broken packages.",), 100),
        ((), 0),
    ],
    ids=["old Compose", "old engine", "removes a package", "cannot be installed", "nothing known"],
)
def test_what_would_not_do_is_not_taken(apt, lines, code):
    assert bash("engine_can_install", path=apt(*lines, code=code)).returncode == 1


def test_a_later_version_upgrades_what_is_installed(apt):
    path = apt("Inst docker.io [20.10.24] (26.1.5+dfsg1-9 Debian:13.7/stable [amd64])", NEW[0])
    told = bash("engine_can_install && engine_version_of docker.io", path=path)
    assert told.stdout == "26.1.5+dfsg1-9\n"


def test_the_pins_let_in_nothing_else(tmp_path, apt):
    told = bash(
        "engine_source=$1/list engine_pins=$1/pins\napt_archive() { echo http://archive.test/debian/; }\n"
        'engine_add_suite forky "runc containerd"\ncat "$engine_source" "$engine_pins"',
        str(tmp_path),
        path=apt(),
    )
    assert "http://archive.test/debian/ forky main" in told.stdout
    assert "Package: *\nPin: release n=forky\nPin-Priority: -10\n" in told.stdout
    assert "Package: docker.io docker-cli docker-compose docker-buildx tini-static\n" in told.stdout


@pytest.mark.engine
def test_an_engine_that_answers_is_left_alone():
    told = subprocess.run(
        [SCRIPTS / "engine", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert told.returncode == 0, told.stderr
    assert "Engine " in told.stderr


def test_a_named_engine_that_does_not_answer_is_not_replaced():
    told = subprocess.run(
        [SCRIPTS / "engine"],
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == 1
    assert "no engine answers at DOCKER_HOST=unix:///nowhere/docker.sock" in told.stderr
