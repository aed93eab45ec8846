"""Each fault made for real: its symptom without stackctl, then the diagnosis, then the repair where there is one."""

from __future__ import annotations

import os
import zlib
from typing import Any

import pytest

from tests.faults.lab.entry import Entry, load
from tests.faults.lab.stage import Lab

ENTRIES = load()


@pytest.mark.parametrize("entry", ENTRIES, ids=[e.name for e in ENTRIES])
def test_fault(lab: Lab, entry: Entry) -> None:
    """The first finding is the cause for every kind of image; ``--fix`` leaves nothing to find."""
    with lab.staged(entry):
        lab.symptom(entry)
        found = lab.diagnose(entry, save=True)
        expect_first(found, entry)
        assert found["seconds"] < float(entry.get("seconds", 20)), f"took {found['seconds']:.1f} s"
        if entry.get("fix"):
            who = mended_kinds(entry)
            mended = lab.diagnose(entry, *who, "--fix", "--yes")
            again = lab.diagnose(entry, *who)
            assert again["findings"] == [], (
                f"after the repair:\n{shown(again)}\nthe repair said:\n{shown(mended)}\n{mended['err']}"
            )
            assert again["code"] == 0


def mended_kinds(entry: Entry) -> list[str]:
    """The consumers to repair: one kind an entry, each in its turn; all of them with FAULT_LAB=all."""
    if entry.get("whole") or os.environ.get("FAULT_LAB") == "all":
        return []
    return [entry.kinds[zlib.crc32(entry.name.encode()) % len(entry.kinds)]]


def expect_first(found: dict[str, Any], entry: Entry) -> None:
    """What the contract says of the first finding."""
    wanted = entry.finds
    if entry.get("whole"):
        firsts = [f["cause"] for f in found["findings"] if f["consumer"] is None]
        assert firsts[:1] == [wanted], shown(found)
        return
    for kind in entry.kinds:
        firsts = [f["cause"] for f in found["findings"] if f["consumer"] == kind]
        assert firsts[:1] == [wanted], f"{kind}: {firsts}\n{shown(found)}"
    severity = entry.get("severity", "error")
    assert all(f["severity"] == severity for f in found["findings"] if f["cause"] == wanted), shown(found)


def shown(found: dict[str, Any]) -> str:
    """The findings and the failed checks, for a failing test."""
    lines = [
        f"{f['severity']} {f['consumer']}: {f['cause']}: {f['summary']}\n    " + "\n    ".join(f["evidence"])
        for f in found["findings"]
    ]
    lines += [
        f"{c['consumer']} {c['id']} {c['status']} {c['vantage']} {c['observed']}"
        for c in found["checks"]
        if c["status"] not in ("passed", "skipped")
    ]
    return "\n".join(lines)
