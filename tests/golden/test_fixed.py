"""A consumer that cannot be told otherwise is left exactly as the project has it."""

from __future__ import annotations

from stackctl.config.models import StackConfig
from stackctl.config.target import resolve
from stackctl.project.compose import ComposeProject
from stackctl.project.facts import Facts
from stackctl.project.override import render


def test_it_is_told_nothing_whatever_the_target() -> None:
    document = {"name": "p", "services": {"tabby": {"image": "x", "networks": {"own": None}}, "ollama": {"image": "o"}}}
    project = ComposeProject.from_config(document, directory="/p")
    config = StackConfig.model_validate(
        {
            "version": 1,
            "consumers": {"tabby": {"fixed": "tabby/config.toml:3"}},
            "instances": {"box": {"url": "http://box:11434"}},
        }
    )
    for name in ("local", "box"):
        made = render(project, config, resolve(config, name), Facts())
        assert made.told == {}
        assert "tabby" not in made.text
