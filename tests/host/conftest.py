"""Fixtures for the tests with the real programs of a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.host.lab import Lab, make_lab, need


@pytest.fixture
def lab() -> Iterator[Lab]:
    need("ip", "ss", "unshare")
    with make_lab() as made:
        yield made
