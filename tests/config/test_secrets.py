"""Secrets never print."""

from __future__ import annotations

import json
import pickle
import traceback

import pytest

from stackctl.config.secrets import Secret, SecretRef

CANARY = "canary-5f3c"


def test_no_way_of_printing_shows_it() -> None:
    secret = Secret(CANARY)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", f"{[secret]}", f"{ ({'a': secret})!r}"]
    shown.append(json.dumps({"a": secret}, default=str))
    try:
        raise ValueError(secret)
    except ValueError as error:
        shown.append("".join(traceback.format_exception(error)))
    assert not [text for text in shown if CANARY in text]
    assert secret.reveal() == CANARY
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)


@pytest.mark.parametrize("text", ["${A}", "${file:/run/x}", "${cmd:pass show x}"])
def test_references(text: str) -> None:
    assert str(SecretRef.parse(text)) == text


@pytest.mark.parametrize("text", ["", "x", "$A", "${A}x", "x${A}", "${A:-x}", "${}", "${file:}", "${A}${B}", "${1}"])
def test_anything_else_is_a_literal(text: str) -> None:
    with pytest.raises(ValueError, match="a literal secret is refused") as caught:
        SecretRef.parse(text)
    assert text not in str(caught.value) or len(text) < 5
