"""What holds for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
ON_THE_ENGINE = frozenset({"e2e", "faults", "gateway", "host"})
"""Directories whose tests use an engine, or namespaces of this machine's network."""


LABS = 3
"""How many fault labs stand side by side, each with an engine of its own and its share of the faults in a row: a
stack that the next fault wants too is kept up."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one such directory on one worker, one after the other; others run beside them.

    The corpus is rendered once for all its tests, so they stay together too.
    """
    faults = [item for item in items if _room(item) == "faults"]
    shares = {item: f"faults-{number * LABS // len(faults)}" for number, item in enumerate(faults)}
    for item in items:
        room = _room(item)
        if room in ON_THE_ENGINE:
            item.add_marker(pytest.mark.engine)
        if item.get_closest_marker("engine") or room == "corpus":
            item.add_marker(pytest.mark.xdist_group(shares.get(item, room)))


def _room(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]
