"""Making models present: in parallel, once each, resumed after an interruption."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stackctl.config.url import OllamaUrl
from stackctl.ollama.client import OllamaClient
from stackctl.ollama.ensure import ensure_models, pull_all
from stackctl.ollama.errors import Kind, OllamaError
from stackctl.ollama.pull import PullProgress
from stackctl.ollama.server import Server
from stackctl.ports import Progress
from tests.support.double import Double, start
from tests.support.double import double as started


@dataclass
class Said:
    """A reporter that remembers."""

    progresses: list[Progress] = field(default_factory=list)

    def step(self, _text: str) -> AbstractContextManager[None]:
        return nullcontext()

    def progress(self, progress: Progress) -> None:
        self.progresses.append(progress)

    def note(self, _text: str) -> None: ...

    def warn(self, _text: str) -> None: ...

    def detail(self, _text: str) -> None: ...

    def ask(self, _question: str, *, default: bool = False) -> bool:
        return default

    def choose(self, _question: str, _options: object, *, default: int = 0) -> int:
        return default


def client_of(double: Double) -> OllamaClient:
    return OllamaClient(Server("it", OllamaUrl.parse(double.url), timeout=5.0))


def pulls(double: Double) -> int:
    return sum(asked["target"] == "/api/pull" for asked in double.requests())


def test_only_what_is_missing_is_pulled_and_each_once(tmp_path: Path) -> None:
    with started(tmp_path, models=["tiny-chat"]) as double, client_of(double) as client:
        done = ensure_models(client, ["tiny-chat", "qwen3:0.6b", "QWEN3:0.6B", "all-minilm:22m"], Said())
        assert sorted(done) == ["all-minilm:22m", "qwen3:0.6b"]
        assert pulls(double) == 2
        assert ensure_models(client, ["tiny-chat", "qwen3:0.6b"], Said()) == []


def test_several_at_once_with_bytes_and_rate(tmp_path: Path) -> None:
    with started(tmp_path, faults={"pull_bytes_per_second": 1.5e6}) as double, client_of(double) as client:
        said = Said()
        begun = time.monotonic()
        ended = pull_all(client, ["qwen3:0.6b", "smollm2:135m", "gemma3:1b"], said)
        took = time.monotonic() - begun
    assert [result.error for result in ended] == [None, None, None]
    # One after the other they would take the sum of their times: 0.35 + 0.18 + 0.54 s at this rate.
    assert took < 2.0
    assert any(p.total > p.done > 0 and "/s" in p.label for p in said.progresses)
    assert any("; " in p.label for p in said.progresses)


def test_one_failure_does_not_stop_the_others(tmp_path: Path) -> None:
    with started(tmp_path) as double, client_of(double) as client:
        ended = {result.model: result for result in pull_all(client, ["no-such", "qwen3:0.6b"], Said())}
        assert ended["no-such"].error is not None
        assert ended["no-such"].error.kind is Kind.NO_MODEL
        assert ended["qwen3:0.6b"].error is None
        with pytest.raises(OllamaError):
            ensure_models(client, ["no-such", "qwen3:0.6b"], Said())


def big(progress: PullProgress) -> bool:
    return progress.stage == "downloading" and progress.completed > 400_000


def test_an_interrupted_pull_goes_on_where_it_was(tmp_path: Path) -> None:
    with started(tmp_path, faults={"pull_bytes_per_second": 1e6}) as double, client_of(double) as client:
        first = client.pull("llama3.2:1b")
        reached = next(p.completed for p in first if big(p))
        first.close()  # type: ignore[attr-defined]
        again = [p for p in client.pull("llama3.2:1b") if p.stage == "downloading"]
        assert again[0].completed >= reached * 0.8


def test_a_server_that_restarts_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    double = start(tmp_path, faults={"pull_bytes_per_second": 1e6})
    result = []
    said = Said()
    try:
        with client_of(double) as client:
            thread = threading.Thread(target=lambda: result.extend(pull_all(client, ["llama3.2:1b"], said)))
            thread.start()
            until = time.monotonic() + 10
            while not any(p.done > 400_000 for p in said.progresses):
                assert time.monotonic() < until
                time.sleep(0.01)
            double.stop()
            port = double.port
            double = start(tmp_path, port=port)
            thread.join(20)
            assert not thread.is_alive()
            assert result[0].error is None
            assert "llama3.2:1b" in [model.name for model in client.tags()]
    finally:
        double.stop()


def test_two_pulls_of_one_model_are_one_download(tmp_path: Path) -> None:
    with started(tmp_path, faults={"pull_bytes_per_second": 1.3e6}) as double:
        ends: list[float] = []

        def run() -> None:
            with client_of(double) as client:
                list(client.pull("llama3.2:1b"))
                ends.append(time.monotonic())

        begun = time.monotonic()
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        # 1.3 MB at 1.3 MB/s: one second for one download, two for two at the shared rate.
        assert len(ends) == 2
        assert max(ends) - begun < 1.8
