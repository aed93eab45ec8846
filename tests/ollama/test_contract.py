"""The contract suite of the double, asked through our transport in every way that an instance may want."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.contract import arrange
from tests.contract.case import Step, filled, load
from tests.contract.judge import complaints
from tests.ollama.ways import OWN, WAYS, contracted

if TYPE_CHECKING:
    from tests.contract.case import Case
    from tests.ollama.ways import WayPool

CASES = load()


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
@pytest.mark.parametrize("way", WAYS)
def test_contract(
    way: str, case: Case, pools: dict[str, WayPool], registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pools[way]
    server = contracted(pool, case.given)
    monkeypatch.setattr(arrange, "ask", pool.ask)
    monkeypatch.setattr(arrange, "_full", pool.full)
    words = server.words(registry)
    with arrange.arranged(server, filled(case.given, words)):
        for number, step in enumerate(filled(case.steps, words)):
            found = _tried(pool, server.url, step)
            assert not found, f"step {number + 1}, {step.method} {step.path}: " + "; ".join(found)


def _tried(pool: WayPool, url: str, step: Step) -> list[str]:
    until = time.monotonic() + step.within
    while True:
        answer = pool.ask(url, step.method, step.path, body=step.body_sent, headers=step.headers)
        found = complaints(step, answer)
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.02)


def test_own_paths_are_on_the_wire(pools: dict[str, WayPool]) -> None:
    pool = pools["endpoints"]
    server = contracted(pool, ())
    assert pool.ask(server.url, "GET", "/api/tags").status == 200
    assert server.double is not None
    assert server.double.requests()[-1]["target"] == OWN["/api/tags"]
