"""Random projects on the real engine, a seed each: what stackctl does to them holds every invariant."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis.errors import FlakyFailure

from tests.zoo.known import known
from tests.zoo.scenario import Scenario, scenarios
from tests.zoo.servers import Servers
from tests.zoo.walk import walk


class BrokenError(Exception):
    """A scenario broke an invariant."""


def test_seed(
    number: int, around: Servers, tmp_path: Path, pytestconfig: pytest.Config, record_property: Callable[..., None]
) -> None:
    runs = itertools.count()
    smallest: list[str] = []
    option = pytestconfig.getoption

    @seed(number)
    @settings(
        max_examples=1,
        deadline=None,
        database=None,
        phases=(Phase.generate,) if option("--as-is", default=False) else (Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(scenarios())
    def holds(scenario: Scenario) -> None:
        run = next(runs)
        why = "" if option("--known", default=False) else known(scenario)
        if why and run:  # the smallest project is to show what failed, not what is known
            reject()
        if why:
            pytest.skip(f"known: {why}")
        walked = walk(scenario, around, tmp_path / str(run))
        if not run:
            record_property("zoo", "refused in part" if walked.refused else "served")
        if walked.broken:
            smallest[:] = ["\n".join([f"seed {number}:", *walked.broken, "", walked.paste])]
            raise BrokenError

    try:
        holds()
    except (BrokenError, FlakyFailure):
        pytest.fail(smallest[0], pytrace=False)
