"""YAML to data with positions."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.config.tree import parse


def data(text: str) -> Any:
    tree = parse(text, "f")
    assert not tree.problems
    return tree.data


@pytest.mark.parametrize(
    ("written", "read"),
    [
        # YAML 1.1 would read each of these as something else (YAML 1.2.2, section 10.3.2).
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("NO", "NO"),
        ("12:34", "12:34"), ("1:30:00", "1:30:00"), ("1_000", "1_000"), ("0b101", "0b101"), ("010", 10),
        ("2024-01-01", "2024-01-01"), ("=", "="), (".nan", ".nan"), (".inf", ".inf"), ("1e3", 1000.0),
        ("true", True), ("False", False), ("TRUE", True), ("tRue", "tRue"),
        ("~", None), ("null", None), ("", None), ("Null", None), ("none", "none"),
        ("0o17", 15), ("0x1F", 31), ("-7", -7), ("+7", 7), ("1.", 1.0), (".5", 0.5), (".", "."), ("-", None),
        ("'1'", "1"), ('"true"', "true"), ("!!str 1", "1"), ("! 1", "1"), ("|\n  a\n  b\n", "a\nb\n"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(written: str, read: object) -> None:
    if written == "-":
        assert data("k:\n- \n") == {"k": [None]}
        return
    found = data(f"k: {written}\n")["k"]
    assert found == read
    assert type(found) is type(read)


def test_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    text = "version: 1\nlocal:\n  gpu: none\n"
    plain = parse(text, "f")
    crlf = parse(text.replace("\n", "\r\n"), "f")
    assert crlf.data == plain.data
    assert crlf.values == plain.values
    assert crlf.keys == plain.keys


def test_every_key_and_value_has_its_place() -> None:
    tree = parse("a:\n  b: [x, {c: y}]\n# comment\nd: 'z'\n", "f")
    assert tree.keys == {("a",): (1, 1), ("a", "b"): (2, 3), ("a", "b", 1, "c"): (2, 11), ("d",): (4, 1)}
    assert tree.values[("a", "b", 0)] == (2, 7)
    assert tree.values[("a", "b", 1, "c")] == (2, 14)
    assert tree.position(("d",)) == (4, 4)
    assert tree.position(("d",), key=True) == (4, 1)
    assert tree.position(("a", "b", 7, "no")) == (2, 6)


def test_anchors_and_merges() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: *a, y: 9}\nd: {<<: [*a, *b]}\ne: [*a]\n"
    found = data(text)
    assert found["c"] == {"x": 1, "y": 9}
    assert found["d"] == {"x": 1, "y": 2, "z": 4}
    assert found["e"] == [{"x": 1, "y": 2}]
    assert parse(text, "f").keys[("c", "x")] == (1, 8)


def test_what_is_wrong_does_not_hide_the_rest() -> None:
    tree = parse("a: 1\na: 2\nb: *no\nc: !x 1\n5: x\nd: 1\n---\ne: 1\n", "f")
    assert [(p.line, p.message) for p in tree.problems] == [
        (2, 'duplicate key "a" (first at line 1)'),
        (3, 'the alias "*no" has no anchor before it'),
        (4, 'the tag "!x" has no meaning here'),
        (5, "a key must be plain text"),
        (7, "a second YAML document; stackctl.yaml is one document"),
    ]
    assert tree.data == {"a": 1, "b": None, "c": "1", "d": 1}
