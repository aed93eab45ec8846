"""A consumer that is told by a flag: its argument lists are templates like its variables."""

from __future__ import annotations

import pytest
import yaml

from stackctl.commands.reconcile.told_address import told_url
from stackctl.config import loading
from stackctl.config.models import Consumer, StackConfig
from stackctl.config.target import resolve
from stackctl.errors import ConfigError
from stackctl.project.compose import ComposeProject
from stackctl.project.facts import Facts
from stackctl.project.override import render

CONFIG = """\
version: 1
consumers:
  app:
    command: ["sh", "-c", "echo $$5; exec app --ollama-url={url}/v1"]
"""


def config(text: str = CONFIG) -> StackConfig:
    return loading.load(loading.read_tree(text.encode(), "stackctl.yaml"), "stackctl.yaml", {})


def test_the_override_replaces_the_list_and_keeps_dollar_signs() -> None:
    project = ComposeProject.from_config({"name": "p", "services": {"app": {"image": "x"}}}, directory="/p")
    text = render(project, config(), resolve(config(), "http://10.9.8.7:11434"), Facts()).text
    assert "command: !override" in text
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor("!override", lambda this, node: this.construct_sequence(node))
    assert yaml.load(text, Loader=loader)["services"]["app"]["command"] == [
        "sh",
        "-c",
        "echo $$5; exec app --ollama-url=http://10.9.8.7:11434/v1",
    ]


def test_a_wrong_placeholder_is_named_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        config(CONFIG.replace("{url}", "{urll}"))
    assert str(caught.value).startswith("stackctl.yaml:4:27: {urll} is no placeholder")


def test_what_a_container_is_told_is_read_back() -> None:
    consumer = Consumer(command=["serve", "--host", "{host}", "--port={port}"])
    made = {"command": ["serve", "--host", "gpu.lan", "--port=5000"]}
    assert str(told_url(consumer, {}, made)) == "http://gpu.lan:5000"
    assert told_url(consumer, {}, {"command": ["other"]}) is None
