"""What holds for all tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ON_THE_ENGINE = frozenset({"e2e", "faults", "gateway", "host", "zoo"})
"""Directories whose tests use an engine, or namespaces of this machine's network."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand tests to workers in rows; see there."""
    from tests.support.sharing import Sharing  # noqa: PLC0415  (a run without workers needs no xdist)

    return Sharing(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs an engine."""
    for item in items:
        if _room(item) in ON_THE_ENGINE:
            item.add_marker(pytest.mark.engine)


def _room(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]
