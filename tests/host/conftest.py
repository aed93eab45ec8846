"""Fixtures for the tests with the real programs of a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.host.lab import Lab, make_lab, need
from tests.host.machines import Machine, build_image, make_machine


@pytest.fixture
def lab() -> Iterator[Lab]:
    need("ip", "ss", "unshare")
    with make_lab() as made:
        yield made


@pytest.fixture(scope="session")
def machine_image() -> str:
    return build_image()


@pytest.fixture
def machine(machine_image: str) -> Iterator[Machine]:
    with make_machine(machine_image) as made:
        yield made
