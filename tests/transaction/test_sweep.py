"""Every effect of every kind of transaction fails once, is interrupted once, and is the last before a kill."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackctl.commands.reconcile import executor as executing
from stackctl.commands.reconcile import pipeline, preflight, situation
from stackctl.commands.reconcile.rollback import rollback
from stackctl.commands.reconcile.switch import switch
from stackctl.commands.reconcile.up import up
from stackctl.commands.reconcile.verify import Verified
from stackctl.config.url import OllamaUrl
from stackctl.diagnose.checks import Reach
from stackctl.errors import StackctlError
from stackctl.transaction import journal as journal_module
from tests.transaction.world import Breaker, World, session

COMPOSE = """\
name: world
services:
  backend:
    image: app
    environment: [OLLAMA_URL=http://ollama:11434]
    depends_on: [ollama]
  page: {image: page}
  ollama: {image: ollama/ollama}
"""
CONFIG = """\
version: 1
consumers: {backend: {env: {OLLAMA_URL: "{url}"}}}
local: {gpu: none}
instances:
  a: {url: "http://10.1.1.1:11434"}
  b: {url: "http://10.1.1.2:11434"}
"""
SHARED = CONFIG + "network: {shared: sct-shared}\n"


@pytest.fixture(autouse=True)
def _consumers_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked over the network is not what is broken here."""

    def answer(_session: Any, _stack: Any, told: dict[str, OllamaUrl], *_a: Any, **_k: Any) -> list[Verified]:
        return [Verified(c, u, Reach(ok=True, checks=())) for c, u in told.items()]

    monkeypatch.setattr(pipeline, "verify", answer)
    monkeypatch.setattr(situation, "verify", answer)
    monkeypatch.setattr(executing, "verify", answer)
    monkeypatch.setattr(preflight, "probe_target", lambda *_a, **_k: [])


class Stage:
    """One directory with its world, before and after."""

    def __init__(self, directory: Path, config: str) -> None:
        directory.mkdir()
        (directory / "compose.yaml").write_text(COMPOSE)
        (directory / "stackctl.yaml").write_text(config)
        self.directory = directory

    def session(self, breaker: Breaker | None = None) -> Any:
        breaker = breaker or Breaker()
        return session(self.directory, World(self.directory / "world.json", breaker), breaker)

    def copy(self, to: Path) -> Stage:
        shutil.copytree(self.directory, to)
        other = object.__new__(Stage)
        other.directory = to
        return other

    @property
    def world(self) -> dict[str, Any]:
        return World(self.directory / "world.json", Breaker()).load()

    def picture(self) -> dict[str, Any]:
        """What must be the same again: environments, states, networks, files of ours."""
        kept = {}
        for name in ("override.yaml", "state.json"):
            path = self.directory / ".stackctl" / name
            kept[name] = _nowhere(path.read_text(), self.directory) if path.exists() else None
        return {
            "containers": {
                c["Config"]["Labels"]["com.docker.compose.service"]: (c["Config"]["Env"], c["State"]["Status"])
                for c in self.world["containers"]
            },
            "networks": sorted(self.world["networks"]),
            "files": kept,
            "journal": (self.directory / ".stackctl/journal.jsonl").exists(),
        }

    def ids(self) -> dict[str, str]:
        return {c["Config"]["Labels"]["com.docker.compose.service"]: c["Id"] for c in self.world["containers"]}


def _nowhere(text: str, directory: Path) -> str:
    """Without the name of the copy that the case runs in."""
    return re.sub(re.escape(str(directory.parent)) + r"/\w+", "HERE", text)


def _edit_compose(stage: Stage) -> None:
    (stage.directory / "compose.yaml").write_text(COMPOSE.replace("image: page", "image: page2"))


Do = Callable[[Any], Any]
SCENARIOS: dict[str, tuple[str, list[Do], Do, str]] = {
    # name: configuration, what was done before, what is broken, the target that it asks for
    "first up": (CONFIG, [], lambda s: up(s, "local"), "http://ollama:11434"),
    "first up, external": (CONFIG, [], lambda s: up(s, "a"), "http://10.1.1.1:11434"),
    "first up, shared network": (SHARED, [], lambda s: up(s, "local"), "http://ollama:11434"),
    "local to external": (CONFIG, [lambda s: up(s, "local")], lambda s: switch(s, "a"), "http://10.1.1.1:11434"),
    "external to local": (CONFIG, [lambda s: up(s, "a")], lambda s: switch(s, "local"), "http://ollama:11434"),
    "external to external": (CONFIG, [lambda s: up(s, "a")], lambda s: switch(s, "b"), "http://10.1.1.2:11434"),
    "shared, local to external": (
        SHARED,
        [lambda s: up(s, "local")],
        lambda s: switch(s, "a"),
        "http://10.1.1.1:11434",
    ),
    "rollback": (
        CONFIG,
        [lambda s: up(s, "local"), lambda s: switch(s, "a")],
        rollback,
        "http://ollama:11434",
    ),
}


def _prepare(tmp_path: Path, name: str) -> Stage:
    config, before, _, _ = SCENARIOS[name]
    stage = Stage(tmp_path / "origin", config)
    for step in before:
        step(stage.session())
    return stage


def _effects(stage: Stage, tmp_path: Path, do: Do) -> list[str]:
    rehearsal = stage.copy(tmp_path / "rehearsal")
    breaker = Breaker()
    do(rehearsal.session(breaker))
    return breaker.log


def _kept(log: list[str]) -> int:
    """The number of the effect with which a transaction is kept: the state's write."""
    return len(log) - log[::-1].index("write state.json")


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("how", ["exception", "interrupt"])
def test_each_effect_failing_once_is_undone(name: str, how: str, tmp_path: Path) -> None:
    _, _, do, _ = SCENARIOS[name]
    stage = _prepare(tmp_path, name)
    log = _effects(stage, tmp_path, do)
    before, ids = stage.picture(), stage.ids()
    for n, what in enumerate(log, 1):
        if how == "interrupt" and n > _kept(log) + 1:
            continue  # signals are held there, and an audit line is no transaction
        here = stage.copy(tmp_path / f"case{n}")
        breaker = Breaker(n, how)
        label = f"effect {n} ({what}) of {log}"
        try:
            do(here.session(breaker))
        except KeyboardInterrupt:
            ended = 130
        except StackctlError as error:
            ended = error.code
        else:
            # What only says how it went may fail: the audit line, the journal's end after the state is kept.
            assert n >= _kept(log) or what in ("append audit.log", "remove override.candidate.yaml"), label
            continue
        assert ended == (130 if how == "interrupt" else 1), label
        assert here.picture() == before, label
        untouched = {s for s, i in here.ids().items() if ids.get(s) == i}
        assert "page" not in ids or "page" in untouched, label


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("how", ["kill-before", "kill-after"])
@pytest.mark.parametrize("next_command", ["up", "rollback"])
def test_a_kill_between_any_two_effects_is_finished_or_undone(
    name: str, how: str, next_command: str, tmp_path: Path
) -> None:
    _, _, do, wanted = SCENARIOS[name]
    stage = _prepare(tmp_path, name)
    log = _effects(stage, tmp_path, do)
    before = stage.picture()
    for n, what in enumerate(log, 1):
        here = stage.copy(tmp_path / f"case{n}")
        label = f"effect {n} ({what}, {how}) of {log}"
        child = os.fork()
        if child == 0:
            do(here.session(Breaker(n, how)))
            os._exit(0)
        assert os.waitpid(child, 0)[1] >> 8 == 137, label
        journal = here.directory / ".stackctl/journal.jsonl"
        pending = journal.exists() and journal_module.pending(journal.read_text()) is not None
        if next_command == "rollback" and pending:
            rollback(here.session())
            after = here.picture()
            kept = after["containers"].get("backend") is not None and _told(here) == wanted
            assert kept or after == before, label
            assert not after["journal"], label
        up(here.session(), None)
        assert not here.picture()["journal"], label
        state = json.loads((here.directory / ".stackctl/state.json").read_text())
        assert state["verified"], label
        assert _told(here) == state["url"], label
        running = here.ids()
        assert ("ollama" in running) == (state["profile"] == "local"), label


def _told(stage: Stage) -> str:
    environment = stage.picture()["containers"]["backend"][0]
    return str(dict(e.partition("=")[::2] for e in environment)["OLLAMA_URL"])


def test_a_changed_compose_file_is_applied_by_up_and_left_alone_by_switch(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage", CONFIG)
    up(stage.session(), "local")
    page = stage.ids()["page"]
    _edit_compose(stage)
    switch(stage.session(), "a")
    assert stage.ids()["page"] == page
    up(stage.session(), None)
    assert stage.ids()["page"] != page
    assert _told(stage) == "http://10.1.1.1:11434"
