"""The lab: one world for all tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.lab import crowd
from tests.faults.lab.stage import Lab
from tests.faults.lab.world import world


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """An engine, a host and a LAN of our own."""
    with world() as made:
        if crowd.is_wanted():
            crowd.gather(made)
        yield Lab(made)
