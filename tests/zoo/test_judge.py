"""The zoo itself: another tool holds what it can, and one that lies, refuses or breaks things is caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stackctl.commands.reconcile.verify import Verified
from stackctl.project import override
from tests.support.cli import Ran
from tests.support.project import Project, docker
from tests.zoo.drivers import ByHand, compose
from tests.zoo.files import environment
from tests.zoo.scenario import Consumer, Scenario
from tests.zoo.servers import Servers
from tests.zoo.walk import Driver, walk

PLAIN = Scenario((Consumer(),), bystander="database", back="local")
MANY = Scenario(
    (Consumer(), Consumer("env_file", "busybox", "list"), Consumer("parts"), Consumer("v1", replicas=2, depends="map")),
    target="neighbour",
    files="chosen",
    bystander="guest",
    back="local",
)


@pytest.mark.parametrize("scenario", [PLAIN, MANY], ids=["plain", "many"])
def test_plain_compose_holds_what_it_can(scenario: Scenario, around: Servers, tmp_path: Path) -> None:
    walked = walk(scenario, around, tmp_path / "project", ByHand)
    assert (walked.broken, walked.refused) == ([], [])


def test_what_it_cannot_do_is_a_refusal_and_no_failure(around: Servers, tmp_path: Path) -> None:
    walked = walk(Scenario((Consumer("secret"),)), around, tmp_path / "project", ByHand)
    assert (walked.broken, walked.refused) == ([], ["switch"])


class RefusesAll(ByHand):
    """Touches nothing, ever."""

    def step(self, name: str) -> Ran:
        return Ran(0, "", "") if name == "init" else Ran(1, "", "error: better not")


class SaysOk(ByHand):
    """Says that it switched, and that every consumer is there."""

    def step(self, name: str) -> Ran:
        return Ran(0, "", "") if name == "switch" else super().step(name)

    def status(self) -> dict[str, bool]:  # type: ignore[override]  # this one speaks
        return {"app0": True}


class RefusesAndMoves(ByHand):
    """Recreates the consumer before it says no."""

    def step(self, name: str) -> Ran:
        if name != "switch":
            return super().step(name)
        compose(self.project, "up", "--detach", "--force-recreate", "app0", env=environment(self.scenario))
        return Ran(1, "", "error: no")


class RestartsAll(ByHand):
    """Starts the whole project anew for each switch."""

    def step(self, name: str) -> Ran:
        ran = super().step(name)
        if name == "switch":
            compose(self.project, "restart", "--timeout", "0", env=environment(self.scenario))
        return ran


class LeavesANetwork(ByHand):
    """Forgets one of its own at the end."""

    def step(self, name: str) -> Ran:
        if name == "detach":
            label = f"--label=com.docker.compose.project={self.project.name}"
            docker("network", "create", label, f"{self.project.name}_left")
        return super().step(name)


class ForgetsToDetach(ByHand):
    """Leaves every consumer where it was switched to."""

    def step(self, name: str) -> Ran:
        return Ran(0, "", "") if name in ("local", "detach") else super().step(name)


@pytest.mark.parametrize(
    ("driver", "says"),
    [
        (RefusesAll, "must be served"),
        (SaysOk, "I2: after switch, app0 reaches local, not host"),
        (SaysOk, "I4: status says ok of app0"),
        (RefusesAndMoves, "switch was refused, and containers moved"),
        (RestartsAll, "I3: switch touched database"),
        (LeavesANetwork, "I6: detach left other networks"),
        (ForgetsToDetach, "after local, app0 reaches host, not local"),
    ],
)
def test_a_bad_tool_is_caught(
    driver: Callable[[Project, Scenario, Servers], Driver], says: str, around: Servers, tmp_path: Path
) -> None:
    assert any(says in text for text in walk(PLAIN, around, tmp_path / "project", driver).broken)


@pytest.mark.parametrize("believes", [False, True], ids=["as it is", "without verification"])
def test_a_stackctl_that_writes_no_address_is_caught(
    believes: bool, around: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(override._Renderer, "environment", lambda *_: None)
    if believes:
        monkeypatch.setattr(Verified, "ok", property(lambda _: True))
    assert any("switch" in text for text in walk(PLAIN, around, tmp_path / "project").broken)
