"""A probe of a container that is being started again meanwhile."""

from __future__ import annotations

from typing import Any, cast

import pytest

from stackctl.commands.context.prober import Prober
from stackctl.diagnose.plan import ProbePlan
from stackctl.diagnose.standpoint import Standpoint
from stackctl.ports import Completed, Container, Engine, EngineInfo

GOOD = Completed(0, b'{"k":"facts","tool":"python3 3.11","files":{}}\n{"k":"end","complete":true}\n')
GONE = Completed(126, b"", b"OCI runtime exec failed: exec failed: no such file or directory: unknown")
SHELLESS = Completed(127, b"", b'OCI runtime exec failed: exec: "sh": executable file not found in $PATH: unknown')
STOPPED = Completed(1, b"", b"Error response from daemon: container abc is not running")


class OneEngine:
    """Answers execs from a list; a probe container works only where ``networks`` says so."""

    def __init__(self, execs: list[Completed], states: list[str], networks: tuple[str, ...] = ()) -> None:
        self.execs, self.states, self.networks = execs, states, networks
        self.stood: list[str] = []

    def exec(self, *_: Any, **__: Any) -> Completed:
        return self.execs.pop(0)

    def inspect(self, _: list[str]) -> list[Container]:
        return [Container({"State": {"Status": self.states.pop(0) if len(self.states) > 1 else self.states[0]}})]

    def image(self, _: str) -> object:
        return object()

    def info(self) -> EngineInfo:
        """One elsewhere, to which no image can be given that borrows this machine's python3."""
        return EngineInfo("29", "5", local=False, rootless=False, desktop=False, runtimes=(), cdi_devices=())

    def run(self, *_: Any, network: str = "", **__: Any) -> Completed:
        if not network:  # whether the image has a shell
            return GOOD
        self.stood.append(network)
        return GOOD if network in self.networks else STOPPED


def probe(engine: OneEngine) -> Any:
    (seen,) = Prober(cast("Engine", engine)).probe([(Standpoint("app", "abc", "shop_default"), ProbePlan(()))])
    return seen


@pytest.mark.parametrize("first", [GONE, STOPPED])
def test_an_exec_that_fails_in_passing_is_done_again(first: Completed) -> None:
    seen = probe(OneEngine([first, GOOD], ["restarting", "running"]))
    assert seen.able
    assert seen.vantage == "exec:python3"


def test_an_image_without_a_shell_is_no_passing_failure() -> None:
    engine = OneEngine([SHELLESS], ["running"], ("container:abc",))
    assert probe(engine).vantage == "probe"
    assert engine.execs == []


def test_a_container_that_ended_is_seen_from_its_network() -> None:
    engine = OneEngine([STOPPED], ["exited"], ("shop_default",))
    assert probe(engine).able
    assert engine.stood == ["container:abc", "shop_default"]
