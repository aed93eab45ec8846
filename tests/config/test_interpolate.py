"""``${NAME}`` in stackctl.yaml."""

from __future__ import annotations

import pytest

from stackctl.config.interpolate import interpolate
from stackctl.config.tree import parse

VARIABLES = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("${SET}", "value"),
        ("a${SET}b${SET}", "avaluebvalue"),
        ("${UNSET:-x}", "x"),
        ("${UNSET-x}", "x"),
        ("${UNSET:-}", ""),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${EMPTY}", ""),
        ("${SET:-x}", "value"),
        ("$${SET}", "${SET}"),
        ("$SET", "$SET"),
        ("5$", "5$"),
        ("${UNSET:-http://h:1/x}", "http://h:1/x"),
    ],
)
def test_replaced(written: str, read: str) -> None:
    tree = parse(f"k: ['{written}']\n", "f")
    interpolate(tree, VARIABLES, "f")
    assert not tree.problems
    assert tree.data == {"k": [read]}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("${UNSET}", "${UNSET} is not set in the environment nor in an env_files entry"),
        ("${UNSET:?say who}", "say who"),
        ("${EMPTY:?say who}", "say who"),
        ("${1X}", '"${1X}" is no reference'),
        ("${A B}", '"${A B}" is no reference'),
        ("${", '"${" is no reference'),
        ("${file:/x}", "${file:/x} is for secrets (auth, headers) only"),
        ("${cmd:id}", "${cmd:id} is for secrets (auth, headers) only"),
    ],
)
def test_refused(written: str, says: str) -> None:
    tree = parse(f"k:\n  - '{written}'\n", "f")
    interpolate(tree, VARIABLES, "f")
    assert [(p.where, p.message) for p in tree.problems] == [("f:2:5", says)]


def test_secrets_keep_their_references() -> None:
    text = "instances: {a: {url: '${SET}', auth: {bearer: '${UNSET}'}, headers: {X: 'p ${UNSET}'}}}\n"
    tree = parse(text, "f")
    interpolate(tree, VARIABLES, "f")
    assert not tree.problems
    assert tree.data["instances"]["a"] == {
        "url": "value", "auth": {"bearer": "${UNSET}"}, "headers": {"X": "p ${UNSET}"},
    }  # fmt: skip
