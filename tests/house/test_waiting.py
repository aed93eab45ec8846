"""Waiting for a condition: what it answers last, how long it is asked, and what ends it."""

from __future__ import annotations

import time

import pytest

from stackctl.waiting import until


def test_the_first_true_answer_ends_it() -> None:
    answers = iter([0, "", "there", "never asked"])
    assert until(lambda: next(answers), within=5.0, every=0.0) == "there"


def test_it_is_asked_at_least_once() -> None:
    assert until(lambda: "there", within=0.0, every=60.0) == "there"
    assert until(list, within=0.0, every=60.0) == []


def test_time_runs_out() -> None:
    begun = time.monotonic()
    assert until(lambda: False, within=0.05, every=0.01) is False
    assert 0.05 <= time.monotonic() - begun < 5.0


def test_a_question_that_takes_long_is_asked_less_often() -> None:
    pauses: list[float] = []
    answers = iter([False, True])

    def slow() -> bool:
        time.sleep(0.02)
        return next(answers)

    assert until(slow, within=60.0, every=0.01, rest=3, sleep=pauses.append)
    assert pauses[0] >= 0.06


def test_what_is_raised_ends_it() -> None:
    def fail() -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        until(fail, within=60.0, every=60.0)
