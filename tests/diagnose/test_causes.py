"""The table of causes against the catalogue and the repairs."""

from __future__ import annotations

import pytest

from stackctl.diagnose.catalogue import entries
from stackctl.diagnose.causes import recognised, table
from stackctl.diagnose.causes.model import Cause, either
from stackctl.diagnose.findings import fold, of_consumer, of_service
from stackctl.diagnose.repair_makers import MAKERS
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import Board
from stackctl.diagnose.words import Words

ROWS = table()
EVERY: Words = {word: f"some {word}" for word in Words.__annotations__}  # type: ignore[assignment]


def test_every_row_is_in_the_catalogue() -> None:
    assert set(recognised()) <= set(entries())


def test_at_least_110_causes_are_recognised() -> None:
    assert len(recognised()) >= 110


@pytest.mark.parametrize("row", ROWS, ids=[f"{r.id}:{n}" for n, r in enumerate(ROWS)])
def test_row_is_found_by_its_signs(row: Cause) -> None:
    board = Board(scope=row.scope, words=EVERY)
    for need in row.needs:
        sign = either(need)[0]
        board.note(sign, f"saw {sign}")
    found = of_consumer(board, "app") if row.scope == "consumer" else of_service(board)
    assert found, row.id
    if row.severity == "error":
        assert any(f.severity == "error" for f in found)


def test_repairs_named_are_made() -> None:
    assert {row.fix for row in ROWS if row.fix} <= set(MAKERS)


def test_at_least_25_causes_can_be_repaired() -> None:
    assert len({row.id for row in ROWS if row.fix}) >= 25


def test_a_server_s_trouble_is_not_said_twice() -> None:
    board = Board(words=EVERY)
    board.note(Sign.TARGET_OOM, "it was killed")
    own = of_consumer(board, "app")
    other = Board(words=EVERY, scope="server")
    other.note(Sign.SERVER_OOM, "it was killed")
    assert [f.consumer for f in fold([*own, *of_service(other)])] == ["app"]
