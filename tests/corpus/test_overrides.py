"""Every project of the corpus, adopted: its override is read by Compose and touches only what it must."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.corpus.projects import CORPUS, Readable, file_sets
from tests.corpus.renders import Rendered, check_all

pytestmark = [
    pytest.mark.slow,
    pytest.mark.engine,
    pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus is not there: {CORPUS}"),
]
REFUSED_BY_COMPOSE = 3
"""Fragments for platforms that complete them: one of coolify, two of umbrel."""


@pytest.fixture(scope="module")
def rendered(prepared: dict[str, Readable], tmp_path_factory: pytest.TempPathFactory) -> list[Rendered]:
    return check_all(prepared, tmp_path_factory.mktemp("renders"))


def test_every_project_that_compose_reads_is_rendered_for_both_targets(rendered: list[Rendered]) -> None:
    counted = Counter(r.id for r in rendered)
    assert len(counted) == len(file_sets()) - REFUSED_BY_COMPOSE
    assert set(counted.values()) == {2}


def test_compose_reads_every_override_and_services_left_alone_keep_their_hash(rendered: list[Rendered]) -> None:
    assert [(r.id, r.target, r.problems) for r in rendered if r.problems] == []


def test_only_consumers_and_ollama_and_their_edges_are_touched(rendered: list[Rendered]) -> None:
    """What the override says about any other service is an edge to what is off, or nothing."""
    allowed = {"environment", "depends_on", "extra_hosts", "links"}
    odd = [
        (r.id, r.target, name, keys)
        for r in rendered
        for name, keys in r.touched.items()
        if not set(keys) <= allowed and name not in r.servers
    ]
    assert odd == []
