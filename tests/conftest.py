"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ON_THE_ENGINE = frozenset({"e2e", "faults", "gateway", "host", "zoo"})
"""Directories whose tests use an engine, or namespaces of this machine's network."""


@pytest.fixture(autouse=True, scope="session")
def _own_state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What stackctl keeps for its user (trust, the journal's key) is not the user's who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


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
