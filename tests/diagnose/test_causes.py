"""The table of causes against the catalogue, and against the code that makes the signs."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import stackctl.diagnose
from stackctl.diagnose.catalogue import entries
from stackctl.diagnose.causes import recognised, table
from stackctl.diagnose.causes.model import Cause
from stackctl.diagnose.repairs import MAKERS
from stackctl.diagnose.signs.board import Board
from stackctl.diagnose.verdict import fold, of_consumer, of_scope

ROWS = table()
ROOM = Path(stackctl.diagnose.__file__).parent


def test_every_row_is_in_the_catalogue() -> None:
    assert set(recognised()) <= set(entries())


def test_at_least_110_causes_are_recognised() -> None:
    assert len(recognised()) >= 110


@pytest.mark.parametrize("row", ROWS, ids=[f"{r.id}:{'+'.join(r.needs)}"[:70] for r in ROWS])
def test_row_fills_its_texts(row: Cause) -> None:
    for text in (row.summary, row.remedy, row.decide, *row.commands):
        fields = [f for _, f, _, _ in string.Formatter().parse(text) if f is not None]
        assert all(re.fullmatch(r"[a-z_0-9]+", f) for f in fields), text


@pytest.mark.parametrize("row", ROWS, ids=[f"{r.id}:{'+'.join(r.needs)}"[:70] for r in ROWS])
def test_row_is_found_by_its_signs(row: Cause) -> None:
    board = Board()
    for need in row.needs:
        board.note(need.split("|")[0], f"saw {need}")
    board.words.update(consumer="app", service="ollama")
    found = of_consumer(board, "app") if row.scope == "consumer" else of_scope(board, row.scope)
    assert found, row.id
    if row.severity == "error":
        assert any(f.severity == "error" for f in found)


def test_repairs_named_are_made() -> None:
    assert {row.fix for row in ROWS if row.fix} <= set(MAKERS)


def test_at_least_25_causes_can_be_repaired() -> None:
    assert len({row.id for row in ROWS if row.fix}) >= 25


def test_every_sign_is_made_somewhere() -> None:
    text = "\n".join(p.read_text() for p in [*ROOM.rglob("signs/*.py"), ROOM / "told.py"])
    text += (ROOM.parent / "commands" / "diagnosing" / "diagnose.py").read_text()
    made = set(re.findall(r"[\"']([a-z0-9_]+(?:\.[a-z0-9_]+)*)[\"']", text))
    prefixes = (
        "status.",
        "target.",
        "own.",
        "server.",
        "host.try_",
        "generate.",
        "issuer.",
        "source.",
        "name.",
        "connect.",
        "engine.",
    )
    missing = {
        s for row in ROWS for need in row.needs for s in need.split("|") if s not in made and not s.startswith(prefixes)
    }
    assert missing == set()


def test_a_server_s_trouble_is_not_said_twice() -> None:
    board = Board()
    board.note("target.oom", "it was killed")
    own = of_consumer(board, "app")
    other = Board()
    other.note("server.oom", "it was killed")
    assert [f.consumer for f in fold([*own, *of_scope(other, "server")])] == ["app"]
