"""Every case of `cases/*.yaml`, against the double or the real server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.contract.arrange import arranged
from tests.contract.case import Step, filled
from tests.contract.judge import complaints
from tests.support.rawhttp import ask

if TYPE_CHECKING:
    from tests.contract.case import Case
    from tests.contract.servers import Pool


def test_contract(case: Case, pool: Pool, registry: str) -> None:
    server = pool.get(case.given)
    words = server.words(registry)
    with arranged(server, filled(case.given, words)):
        for number, step in enumerate(filled(case.steps, words)):
            found = _tried(server.url, step)
            assert not found, f"step {number + 1}, {step.method} {step.path}: " + "; ".join(found)


def _tried(url: str, step: Step) -> list[str]:
    until = time.monotonic() + step.within
    while True:
        answer = ask(url, step.method, step.path, body=step.body_sent, headers=step.headers, timeout=300)
        found = complaints(step, answer)
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.02)
