"""Lines of a remedy that set a variable, as the value really stands."""

from __future__ import annotations

import pytest

from stackctl.diagnose.findings import Finding, Remedy, of_consumer
from stackctl.diagnose.repair import RepairCase
from stackctl.diagnose.url_text import read
from tests.diagnose.small_scenes import healthy

WORDS = {"variable": "OLLAMA_HOST", "value": "localhost", "consumer": "app", "good": "brain:8088", "url": "u"}


def commands(**words: str) -> tuple[str, ...]:
    from stackctl.diagnose.signs.board import Board  # noqa: PLC0415

    board = Board({"url.loopback", "probe.unable"}, {**WORDS, "port": "8088", **words})
    (finding,) = of_consumer(board, "app")
    return finding.remedy.commands


def test_one_variable() -> None:
    assert commands() == ("environment:", "  OLLAMA_HOST: brain:8088")


def test_host_and_port_in_two_variables() -> None:
    assert commands(port_variable="OLLAMA_PORT") == ("environment:", "  OLLAMA_HOST: brain", "  OLLAMA_PORT: '8088'")


def test_a_value_in_a_command_is_no_variable() -> None:
    assert commands(place="command of app") == ("# command of app: brain:8088 in place of localhost",)


@pytest.mark.parametrize(
    ("words", "setting"),
    [({}, {"OLLAMA_HOST": "brain:8088"}), ({"port_variable": "P"}, {"OLLAMA_HOST": "brain", "P": "8088"})],
)
def test_a_repair_sets_the_same(words: dict[str, str], setting: dict[str, str]) -> None:
    finding = Finding("x", "app", "error", "", (), Remedy(""), words={**WORDS, **words})
    repair = RepairCase(finding, healthy("")).tell("good")
    assert repair is not None
    assert {k: str(v) for k, v in repair.services["app"]["environment"].items()} == setting


def test_a_value_in_a_command_is_not_repaired() -> None:
    finding = Finding("x", "app", "error", "", (), Remedy(""), words={**WORDS, "place": "command of app"})
    assert RepairCase(finding, healthy("")).tell("good") is None


def test_the_port_of_another_variable_is_read() -> None:
    (setting,) = read("app", "LLM_HOST", "brain", port=("LLM_PORT", 8088))
    assert str(setting.url) == "http://brain:8088"
    assert setting.port_variable == "LLM_PORT"
    (setting,) = read("app", "LLM_URL", "http://brain", template="{scheme}://{host}", port=("LLM_PORT", 8088))
    assert str(setting.url) == "http://brain:8088"
    assert "url.port_omitted" not in setting.marks


@pytest.mark.parametrize(("value", "mark"), [("http://:11434", "value.no_host"), ("ftp://a", "value.other_scheme")])
def test_a_value_that_names_no_server(value: str, mark: str) -> None:
    (setting,) = read("app", "OLLAMA_URL", value)
    assert setting.url is None
    assert mark in setting.marks
