"""Set-ups in which nothing is wrong: no error may be found, and nothing may change."""

from __future__ import annotations

import pytest

from tests.faults.lab.entry import Entry, load
from tests.faults.lab.stage import Lab
from tests.faults.test_faults import shown

ENTRIES = load("healthy")


@pytest.mark.parametrize("entry", ENTRIES, ids=[e.name for e in ENTRIES])
def test_healthy(lab: Lab, entry: Entry) -> None:
    """No finding of severity error; the same containers, networks and images after as before."""
    with lab.staged(entry):
        before = traces(lab)
        found = lab.diagnose(entry, save=True)
        assert [f for f in found["findings"] if f["severity"] == "error"] == [], shown(found)
        assert found["code"] == 0
        assert found["checks"], "nothing was tried"
        assert traces(lab) == before


def traces(lab: Lab) -> tuple[str, ...]:
    """Containers with their times of start, networks, images, and what was written in consumers."""
    docker = lab.world.docker
    ids = docker("ps", "-aq", "--no-trunc").stdout.split()
    return (
        docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}} {{.State.Status}}", *ids).stdout if ids else "",
        docker("network", "ls", "-q", "--no-trunc").stdout,
        # Docker lists these in any order: images by their time, which two built in one second share.
        "\n".join(sorted(docker("images", "-aq", "--no-trunc").stdout.splitlines())),
        *("\n".join(sorted(docker("diff", i).stdout.splitlines())) for i in ids),
    )
