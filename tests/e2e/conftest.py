"""The real engine, the project's own images, and a project directory that cleans up after itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import double
from tests.support.cli import ROOT
from tests.support.double import Double
from tests.support.netlab import Elsewhere, bridge_address, elsewhere
from tests.support.project import BACKEND, BUSYBOX, MODEL, OLLAMA, Project, missing_images, project


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """Build what is missing of the project's images; a build that fails fails the tests."""
    if missing_images([OLLAMA, BACKEND, BUSYBOX]):
        done = subprocess.run([ROOT / "scripts" / "images"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Project]:
    """An empty project directory with a name of its own."""
    with project(tmp_path / "project", "e2e") as made:
        yield made


@pytest.fixture
def host_double(tmp_path: Path) -> Iterator[Double]:
    """An Ollama on this machine, outside of Docker, that containers reach as ``host-gateway``."""
    with double.double(tmp_path / "host", host=bridge_address(), name="host-double", models=[MODEL]) as server:
        yield server


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Elsewhere]:
    """A machine elsewhere."""
    with elsewhere(tmp_path / "far") as machine:
        yield machine
