"""Fixtures of the tests of the Ollama client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ollama.ways import WAYS, Way, WayPool
from tests.support.double import start
from tests.support.model_registry import model_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.double import Double


@pytest.fixture(scope="session")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, WayPool]]:
    made: dict[str, WayPool] = {name: WayPool(Way(name, tmp_path_factory.mktemp(name))) for name in WAYS}
    try:
        yield made
    finally:
        for pool in made.values():
            pool.close()


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    with model_registry() as server:
        yield f"127.0.0.1:{server.server_address[1]}"


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    double = start(tmp_path_factory.mktemp("double"), name="shared", models=["tiny-chat", "tiny-embed"])
    try:
        yield double
    finally:
        double.stop()


@pytest.fixture
def double(_shared: Double) -> Double:
    """A double without faults; what a test sets is taken back before the next."""
    _shared.heal()
    return _shared
