"""What holds for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
ON_THE_ENGINE = frozenset({"e2e", "faults", "gateway", "host"})
"""Directories whose tests use an engine, or namespaces of this machine's network."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one such directory on one worker, one after the other; others run beside them.

    The corpus is rendered once for all its tests, so they stay together too.
    """
    for item in items:
        room = item.path.relative_to(HERE).parts[0]
        if room in ON_THE_ENGINE:
            item.add_marker(pytest.mark.engine)
        if item.get_closest_marker("engine") or room == "corpus":
            item.add_marker(pytest.mark.xdist_group(room))
