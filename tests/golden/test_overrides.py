"""The override, byte for byte. ``UPDATE_GOLDEN=1`` writes the texts anew; read the difference before you keep it."""

from __future__ import annotations

import os
import random

import pytest
import yaml

from stackctl.project.compose import ComposeProject
from stackctl.project.yamltext import Text, dump
from tests.golden.matrix import HERE, PROJECTS, cases, golden, resolved


@pytest.mark.parametrize("name", PROJECTS)
def test_golden(name: str) -> None:
    file = HERE / "overrides" / f"{name}.txt"
    text = golden(name)
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def test_nothing_is_left_over() -> None:
    for folder, suffix in (("overrides", ".txt"), ("resolved", ".json")):
        assert {p.name for p in (HERE / folder).iterdir()} == {f"{name}{suffix}" for name in PROJECTS}


@pytest.mark.parametrize("name", PROJECTS)
def test_the_same_input_gives_the_same_text(name: str) -> None:
    """However the services of the project and the variables in them are ordered on the way in."""
    project = resolved(name)
    order = list(project.services)
    random.Random(7).shuffle(order)
    shuffled = ComposeProject(
        project.name,
        project.directory,
        {n: project.services[n] for n in order},
        project.active,
        project.networks,
        project.volumes,
    )
    for case in cases(name):
        first, again = case.text(project), case.text(project)
        assert first == again
        if not first.startswith("refused"):
            here, there = case.render(project), case.render(shuffled)
            assert here.told == there.told
            assert here.needs_network == there.needs_network
            assert sorted(here.off) == sorted(there.off)


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "no",
        "12:34",
        "1e3",
        "0x1F",
        "~",
        "",
        " a",
        "a: b",
        "- a",
        "#x",
        "é",
        "a\nb",
        "'",
        '"',
        "\\",
        "=",
        "<<",
        "${A}",
    ],
)
def test_text_stays_text_for_any_reader(text: str) -> None:
    assert yaml.safe_load(dump({"a": Text(text), "b": [Text(text)]})) == {"a": text, "b": [text]}
