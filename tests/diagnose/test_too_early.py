"""A server that has only just been started is not judged by a refused connection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.diagnose.answers import AimAnswers, Connected, ProbeAnswers, Resolved
from stackctl.diagnose.judgement import STARTING, too_early
from stackctl.diagnose.scene import Scene
from tests.diagnose.small_scenes import container, healthy

STARTED = "2026-01-01T00:00:00.123456789Z"
AT = 1767225600.0


def scene(error: str, status: str = "running") -> Scene:
    found = healthy("")
    (one,) = found.settings
    connected = (Connected("10.0.0.2", 11434, error, 1.0),)
    aim = AimAnswers(Resolved("ollama", ("10.0.0.2",), "", 1.0), connected)
    seen = {"app": ProbeAnswers("exec:python3", {one.aim: aim})}
    server = container("ollama", State={"Status": status, "StartedAt": STARTED})
    return replace(found, seen=seen, containers=(container("app"), server))


@pytest.mark.parametrize(
    ("error", "status", "later", "early"),
    [
        ("ECONNREFUSED", "running", 1.0, True),
        ("ECONNREFUSED", "running", STARTING + 1, False),
        ("ECONNREFUSED", "exited", 1.0, False),
        ("ETIMEDOUT", "running", 1.0, False),
        ("", "running", 1.0, False),
    ],
)
def test_only_a_refusal_by_a_fresh_server_says_nothing_yet(error: str, status: str, later: float, early: bool) -> None:
    assert too_early(scene(error, status), AT + later) is early
