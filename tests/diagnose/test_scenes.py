"""Every scene of the fault lab that was saved, judged again: the same causes, words, evidence and remedies.

``make faults FAULT_LAB=few FAULT_LAB_SAVE=tests/diagnose/saved`` saves them anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stackctl.diagnose import remedies, signs
from stackctl.diagnose.judgement import judge_scene
from stackctl.diagnose.saved import SavedScene, from_json, to_json
from stackctl.diagnose.signs.board import Case
from stackctl.diagnose.words import ALWAYS, DEFAULTS
from tests.faults.lab.entry import load

SAVED = sorted((Path(__file__).parent / "saved").glob("*.json"))
ENTRIES = {entry.name: entry for entry in load()}


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.mark.parametrize("path", SAVED, ids=[p.stem for p in SAVED])
def test_judged_as_when_it_was_seen(path: Path) -> None:
    document = read(path)
    saved = from_json(SavedScene, document["input"])
    found = [{**f.as_json(), "fix": f.remedy.fix} for f in judge_scene(saved.scene, saved.meant).findings]
    assert found == document["findings"]


@pytest.mark.parametrize("path", SAVED, ids=[p.stem for p in SAVED])
def test_what_is_read_back_is_what_was_saved(path: Path) -> None:
    document = read(path)
    assert to_json(from_json(SavedScene, document["input"])) == document["input"]


@pytest.mark.parametrize("path", SAVED, ids=[p.stem for p in SAVED])
def test_the_first_finding_is_the_fault_of_the_lab(path: Path) -> None:
    entry = ENTRIES.get(path.stem)
    if entry is not None:
        first = next(f for f in read(path)["findings"] if not entry.get("whole") or f["consumer"] is None)
        assert first["cause"] == entry.finds


@pytest.mark.parametrize("path", SAVED, ids=[p.stem for p in SAVED])
def test_the_words_that_are_always_there(path: Path) -> None:
    saved = from_json(SavedScene, read(path)["input"])
    for one in saved.scene.settings:
        board = signs.of(saved.scene, one)
        remedies.complete(board, Case.of(saved.scene, one), saved.meant.get(one.consumer))
        assert ALWAYS["consumer"] <= {*board.words, *DEFAULTS}
    for board in signs.of_project(saved.scene):
        assert board.on == set() or ALWAYS[board.scope] <= {*board.words, *DEFAULTS}


def test_most_faults_of_the_lab_are_there() -> None:
    assert len(set(ENTRIES) & {path.stem for path in SAVED}) >= 130
