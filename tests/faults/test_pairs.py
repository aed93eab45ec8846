"""Two faults at once: the one to be mended first is named first, and after its repair the other."""

from __future__ import annotations

import pytest

from tests.faults.lab.entry import Entry, load
from tests.faults.lab.stage import Lab
from tests.faults.test_faults import shown

ENTRIES = load("pairs")


@pytest.mark.parametrize("entry", ENTRIES, ids=[e.name for e in ENTRIES])
def test_pair(lab: Lab, entry: Entry) -> None:
    """The repairs come in the order in which the faults are named; the second comes to light by the first's repair."""
    with lab.staged(entry):
        lab.dirty = True
        found = lab.diagnose(entry, save=True)
        for kind in entry.kinds:
            firsts = [f["cause"] for f in found["findings"] if f["consumer"] == kind]
            assert firsts[:1] == [entry.get("first")], f"{kind}: {firsts}\n{shown(found)}"
        mended = lab.diagnose(entry, "--fix", "--yes")
        kept = [r["cause"] for r in mended["repairs"] if r["kept"]]
        assert kept[:1] == [entry.get("first")], f"{mended['repairs']}\n{shown(mended)}"
        named = [*kept[1:2], *[f["cause"] for f in mended["findings"]]]
        assert named[:1] == [entry.get("second")], f"{mended['repairs']}\n{shown(mended)}"
