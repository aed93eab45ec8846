"""What is told of a `docker compose up` that failed: its reason, once, without the progress before it."""

from __future__ import annotations

import pytest

from stackctl.commands.reconcile.compose_failure import compose_reason

DENIED = "Error response from daemon: pull access denied for nobody/nothing"


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("", "no reason given"),
        (f"app Pulling\napp Error pull access denied for nobody/nothing\n{DENIED}\n", DENIED),
        (" Container x-app-1  Starting\nfirst\nsecond\n", "first\nsecond"),
        ('time="…" level=warning msg="obsolete"\nno such file\n', "no such file"),
    ],
)
def test_reason(printed: str, told: str) -> None:
    assert compose_reason(printed) == told
