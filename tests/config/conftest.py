"""A small project that a test writes a stackctl.yaml into."""

from __future__ import annotations

from pathlib import Path

import pytest

COMPOSE = "services:\n  backend:\n    image: stackctl.local/busybox:base\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with a Compose file of one service."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "compose.yaml").write_text(COMPOSE)
    return directory
