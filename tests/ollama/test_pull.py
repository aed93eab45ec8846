"""A pull's lines: progress over layers, and which ends are good ones."""

from __future__ import annotations

from itertools import count

import pytest

from stackctl.ollama.pull import PullProgress, track

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def played(*lines: object, every: float = 1.0) -> list[PullProgress]:
    ticks = count(0.0, every)
    return list(track("m", lines, lambda: next(ticks) / 4))


def layer(digest: str, total: int, completed: int | None = None) -> dict[str, object]:
    line: dict[str, object] = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": total}
    return line if completed is None else line | {"completed": completed}


def test_bytes_add_up_over_layers() -> None:
    end = played(
        {"status": "pulling manifest"}, layer(A, 100), layer(A, 100, 60), layer(B, 50, 10),
        {"status": "verifying sha256 digest"}, {"status": "writing manifest"}, {"status": "success"},
    )  # fmt: skip
    # The last line of a layer is often short of its total: the next layer tells that it was whole.
    assert [(p.stage, p.completed, p.total) for p in end] == [
        ("starting", 0, 0), ("downloading", 0, 100), ("downloading", 60, 100), ("downloading", 110, 150),
        ("verifying", 150, 150), ("finishing", 150, 150), ("done", 150, 150),
    ]  # fmt: skip


def test_rate_and_eta() -> None:
    lines = [layer(A, 1000), *(layer(A, 1000, done) for done in (100, 200, 300, 400))]
    last = played(*lines)[-2]
    assert last.stage == "downloading"
    assert last.rate > 0
    assert last.eta == pytest.approx((1000 - 400) / last.rate)
    assert "left" in last.text


def test_what_was_there_before_is_no_speed() -> None:
    half = 40 * 10**9
    progress = played(layer(A, 2 * half, half), layer(A, 2 * half, half + 10**6))[1]
    assert progress.resumed == half
    assert progress.rate < 10**7


@pytest.mark.parametrize(
    "lines",
    [
        [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}],
        [{"status": "pulling manifest"}],
        [],
        [layer(A, 5, 5), {"status": "verifying sha256 digest"}, {"status": "writing manifest"}],
        [{"error": {"message": "no"}}],
        ["success"],
        [[]],
    ],
)
def test_nothing_but_success_is_success(lines: list[object]) -> None:
    assert played(*lines)[-1].stage == "failed"


def test_an_error_after_success_counts_no_more() -> None:
    assert played({"status": "success"}, {"error": "late"})[-1].stage == "done"


@pytest.mark.parametrize(
    "line",
    [
        {"status": "x", "digest": A, "total": -5, "completed": 10**30},
        {"status": "x", "digest": A, "total": "many", "completed": None},
        {"status": 7, "digest": 5},
        {"status": "\x1b[2Jboo", "digest": A, "total": 1, "completed": True},
        {"digest": {}, "total": float("inf")},
        None, 3, "text", [1, 2],
    ],
)  # fmt: skip
def test_nonsense_does_no_harm(line: object) -> None:
    progress = played(line, {"status": "success"})
    assert progress[-1].stage == "done"
    assert all("\x1b" not in p.text and "\x1b" not in p.status for p in progress)
