"""The text of whole plans: what is done, in which order, and why. A plan that says nothing does nothing."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

import pytest

from stackctl.config.models import StackConfig
from stackctl.config.target import resolve
from stackctl.errors import StepFailed
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject, Service
from stackctl.project.facts import Facts
from stackctl.project.override import OverrideFile, render
from stackctl.transaction.journal import Snapshot
from stackctl.transaction.observed import Observed, environment_digests, network_digests
from stackctl.transaction.planning import Wanted, plan_apply, plan_models
from stackctl.transaction.state import State
from stackctl.transaction.steps import Plan
from stackctl.transaction.undo import plan_undo

PROJECT = ComposeProject.from_config(
    {
        "name": "shop",
        "services": {
            "ollama": {"image": "ollama/ollama:0.33.0"},
            "backend": {"image": "app", "depends_on": {"ollama": {"condition": "service_started"}}},
            "web": {"image": "web"},
            "seed": {"image": "seed"},
        },
    },
    directory="/shop",
)
CONFIG = StackConfig.model_validate(
    {
        "version": 1,
        "consumers": {"backend": {"env": {"OLLAMA_URL": "{url}"}}},
        "models": ["qwen3:8b"],
        "instances": {"box": {"url": "http://10.0.0.5:11434"}},
    }
)


def override(profile: str, **settings: Any) -> OverrideFile:
    config = CONFIG.model_copy(update=settings)
    return render(PROJECT, config, resolve(config, profile), Facts())


LOCAL, BOX = override("local"), override("box")


def container(service: str, made_from: str, *, state: str = "running", code: int = 0, image: str = "i") -> Container:
    labels = {"com.docker.compose.service": service, "com.docker.compose.config-hash": made_from}
    return Container(
        {
            "Id": f"{service}-{made_from}", "Name": f"/shop-{service}-1", "Image": image, "Config": {"Labels": labels},
            "State": {"Status": state, "ExitCode": code},
        }
    )  # fmt: skip


def hashes(profile: str) -> dict[str, str]:
    found = {"backend": f"b-{profile}", "web": "w", "seed": "s"}
    return {"ollama": "o", **found} if profile == "local" else found


def wanted(profile: str, *, everything: bool, made: OverrideFile | None = None) -> Wanted:
    here = profile == "local"
    return Wanted(
        override=made or (LOCAL if here else BOX),
        hashes=hashes(profile),
        models=("qwen3:8b",) if here else (),
        consumers=("backend",),
        local_service="ollama" if here else None,
        local_off=() if here else ("ollama",),
        everything=everything,
    )


def observed(profile: str | None, **changes: Container | None) -> Observed:
    """The stack as it runs on a profile, some of its containers replaced or gone."""
    there: dict[str, Container | None] = {}
    if profile:
        there = {name: container(name, made_from) for name, made_from in hashes(profile).items()}
        there["seed"] = container("seed", "s", state="exited")
    there.update(changes)
    text = {"local": LOCAL.text, "box": BOX.text, None: None}[profile]
    return Observed(tuple(c for c in there.values() if c is not None), text, None)


def text(plan: Plan) -> str:
    return str(plan).replace(LOCAL.digest[:12], "LOCAL").replace(BOX.digest[:12], "BOX")


def check(plan: Plan, expected: str) -> None:
    assert text(plan) == textwrap.dedent(expected).lstrip("\n")


def test_the_first_up() -> None:
    check(
        plan_apply(PROJECT, wanted("local", everything=True), observed(None)),
        """
        1. write override LOCAL  # no override yet
        2. compose up ollama backend web seed  # no container yet
        3. wait for ollama backend web seed  # started or replaced
        4. ensure models qwen3:8b in ollama  # required by the target
        5. verify backend  # what was changed is proved before it is kept
        6. save state  # verified
        """,
    )


@pytest.mark.parametrize("profile", ["local", "box"])
@pytest.mark.parametrize("everything", [True, False])
def test_nothing_to_do(profile: str, everything: bool) -> None:
    plan = plan_apply(PROJECT, wanted(profile, everything=everything), observed(profile))
    assert not plan
    check(plan, "")


def test_switch_away_from_local() -> None:
    check(
        plan_apply(PROJECT, wanted("box", everything=False), observed("local")),
        """
        1. write override BOX  # the target or the project differs
        2. compose up backend  # its configuration differs
        3. wait for backend  # started or replaced
        4. verify backend  # what was changed is proved before it is kept
        5. stop and remove container shop-ollama-1  # ollama is switched off by this target
        6. verify backend  # what was switched off is off now
        7. save state  # verified
        """,
    )


def test_where_consumers_may_be_asked_first_their_health_is_waited_for_last() -> None:
    goal = replace(wanted("local", everything=True), verify_first=True)
    check(
        plan_apply(PROJECT, goal, observed(None)),
        """
        1. write override LOCAL  # no override yet
        2. compose up ollama backend web seed  # no container yet
        3. wait for ollama  # consumers need it to answer
        4. ensure models qwen3:8b in ollama  # required by the target
        5. verify backend  # what was changed is proved before it is kept
        6. wait for backend web seed  # started or replaced
        7. save state  # verified
        """,
    )
    check(
        plan_apply(PROJECT, replace(wanted("box", everything=False), verify_first=True), observed("local")),
        """
        1. write override BOX  # the target or the project differs
        2. compose up backend  # its configuration differs
        3. verify backend  # what was changed is proved before it is kept
        4. wait for backend  # started or replaced
        5. stop and remove container shop-ollama-1  # ollama is switched off by this target
        6. verify backend  # what was switched off is off now
        7. save state  # verified
        """,
    )


def test_a_degraded_stack_is_asked_and_kept_whatever_it_answers() -> None:
    goal = replace(wanted("box", everything=True), degraded=True)
    assert "ask backend  # what was changed is proved" in text(plan_apply(PROJECT, goal, observed(None)))


def test_a_server_behind_the_gateway_goes_once_it_is_idle() -> None:
    goal = replace(wanted("box", everything=False), gateway_service="stackctl-gateway", gateway_text="")
    plan = text(plan_apply(PROJECT, goal, observed("local")))
    assert "stop and remove container shop-ollama-1 once it is idle  # ollama is switched off by this target" in plan


def test_a_missing_model_where_nothing_else_differs() -> None:
    check(
        plan_models(wanted("local", everything=True)),
        """
        1. ensure models qwen3:8b in ollama  # one of them is not there
        2. verify backend  # the models have changed
        3. save state  # verified
        """,
    )
    assert not plan_models(wanted("box", everything=True))


def test_switch_back_to_local_starts_the_server_before_the_consumer_lets_go() -> None:
    check(
        plan_apply(PROJECT, wanted("local", everything=False), observed("box")),
        """
        1. write override LOCAL  # the target or the project differs
        2. compose up ollama  # no container yet
        3. wait for ollama  # consumers need it to answer
        4. ensure models qwen3:8b in ollama  # required by the target
        5. compose up backend  # its configuration differs
        6. wait for backend  # started or replaced
        7. verify backend  # what was changed is proved before it is kept
        8. save state  # verified
        """,
    )


def test_up_says_why_for_each() -> None:
    there = observed("local", web=None, ollama=container("ollama", "o", state="exited", code=137))
    there = Observed(there.containers, there.override, None, images={"app": "newer"})
    check(
        plan_apply(PROJECT, wanted("local", everything=True), there),
        """
        1. compose up ollama  # its container is exited
        2. wait for ollama  # consumers need it to answer
        3. ensure models qwen3:8b in ollama  # required by the target
        4. compose up backend web  # backend: its image is newer; web: no container yet
        5. wait for backend web  # started or replaced
        6. verify backend  # what was changed is proved before it is kept
        7. save state  # verified
        """,
    )


def test_a_switch_leaves_other_services_alone() -> None:
    plan = plan_apply(PROJECT, wanted("box", everything=False), observed("local", web=None))
    assert "web" not in text(plan)


def test_a_stale_local_server_goes_even_where_nothing_else_differs() -> None:
    check(
        plan_apply(PROJECT, wanted("box", everything=False), observed("box", ollama=container("ollama", "o"))),
        """
        1. verify backend  # what was changed is proved before it is kept
        2. stop and remove container shop-ollama-1  # ollama is switched off by this target
        3. verify backend  # what was switched off is off now
        4. save state  # verified
        """,
    )


def test_hashes_that_compose_computes_in_two_ways() -> None:
    """What was recorded together at the last `up` tells whether either of the two has moved."""
    there = observed("local", backend=container("backend", "label"))
    state = State("shop", None, "local", "", None, "", computed={"backend": "b-local"}, labels={"backend": "label"})
    same = Observed(there.containers, there.override, state)
    assert not plan_apply(PROJECT, wanted("local", everything=True), same)
    moved = State("shop", None, "local", "", None, "", computed={"backend": "b-old"}, labels={"backend": "label"})
    assert plan_apply(PROJECT, wanted("local", everything=True), Observed(there.containers, there.override, moved))


def test_a_shared_network_comes_first() -> None:
    made = override("box", network=CONFIG.network.model_copy(update={"shared": "ollama-net"}))
    plan = plan_apply(PROJECT, wanted("box", everything=True, made=made), observed(None))
    assert text(plan).startswith("1. create network ollama-net  # the shared network does not exist\n2. write override")
    there = Observed((), None, None, networks=frozenset({"ollama-net"}))
    assert "network" not in text(plan_apply(PROJECT, wanted("box", everything=True, made=made), there))


def snapshot(profile: str | None, **changes: Container | None) -> Snapshot:
    return Snapshot.of(observed(profile, **changes), "state")


def test_undo_where_nothing_moved() -> None:
    assert not plan_undo(snapshot("local"), observed("local"))


def test_undo_a_first_up() -> None:
    check(
        plan_undo(snapshot(None), observed("local")),
        """
        1. compose down  # nothing ran before
        2. remove override  # as it was before
        """,
    )


def test_undo_a_switch_away_from_local() -> None:
    check(
        plan_undo(snapshot("local"), observed("box")),
        """
        1. write override  # as it was before
        2. compose up ollama backend  # as it was before
        3. wait for ollama backend  # as it was before
        """,
    )


def test_undo_a_switch_to_local() -> None:
    check(
        plan_undo(snapshot("box"), observed("local")),
        """
        1. write override  # as it was before
        2. compose up backend  # as it was before
        3. wait for backend  # as it was before
        4. stop and remove container shop-ollama-1  # it was not there before
        """,
    )


def test_undo_only_the_file_was_written() -> None:
    now = observed("local")
    check(
        plan_undo(snapshot("local"), Observed(now.containers, BOX.text, None)),
        """
        1. write override  # as it was before
        """,
    )


def test_undo_puts_a_stopped_container_back_as_stopped() -> None:
    stopped = container("backend", "b-local", state="exited")
    check(
        plan_undo(snapshot("local", backend=stopped), observed("box", ollama=container("ollama", "o"))),
        """
        1. write override  # as it was before
        2. compose up backend  # as it was before
        3. stop container shop-backend-1  # as it was before
        """,
    )


def test_undo_networks() -> None:
    before = Snapshot({}, None, None, ("kept",))
    now = Observed((), None, None, networks=frozenset({"kept", "ours"}))
    assert "remove network ours  # it was not there before" in text(plan_undo(before, now))
    assert "create network kept  # as it was before" in text(plan_undo(before, Observed((), None, None)))


def test_steps_as_the_journal_names_them() -> None:
    plan = plan_apply(PROJECT, wanted("box", everything=False), observed("local"))
    assert [step.kind for step in plan.steps] == [
        "WriteOverride", "ComposeUp", "WaitHealthy", "VerifyConsumers", "RemoveContainer", "VerifyConsumers",
        "SaveState",
    ]  # fmt: skip


def test_variables_that_the_hash_does_not_cover() -> None:
    """`config --hash` looks into no env_file; the label does, and so the two disagree."""
    there = observed("local", backend=container("backend", "label"))
    hashes = {"backend": "b-local"}
    recorded = State("shop", None, "local", "", None, "", computed=hashes, labels={"backend": "label"})
    recorded = replace(recorded, environments=environment_digests(PROJECT, hashes))
    same = Observed(there.containers, there.override, recorded)
    assert not plan_apply(PROJECT, wanted("local", everything=True), same)
    backend = PROJECT.services["backend"]
    edited = Service("backend", {**backend.raw, "environment": {**backend.environment, "FLAVOUR": "sweet"}})
    project = replace(PROJECT, services={**PROJECT.services, "backend": edited})
    assert "its configuration differs" in text(plan_apply(project, wanted("local", everything=True), same))


NETWORKED = ComposeProject.from_config(
    {
        "name": "shop",
        "services": {
            "ollama": {"image": "ollama/ollama:0.33.0", "networks": {"default": None}},
            "backend": {"image": "app", "networks": {"default": None}},
            "web": {"image": "web", "networks": {"default": None}},
            "seed": {"image": "seed", "networks": {"other": None}},
        },
        "networks": {"default": {"name": "shop_default", "ipam": {}}, "other": {"name": "shop_other"}},
    },
    directory="/shop",
)


def test_a_network_that_differs_is_made_anew_with_all_who_are_on_it() -> None:
    """One of them left on it, and Compose fails half-way; so the switched off server goes before."""
    state = State("shop", None, "local", "", None, "", attached={"default": "of the last time"})
    there = replace(observed("local"), state=state)
    check(
        plan_apply(NETWORKED, wanted("local", everything=True), there),
        """
        1. compose up --force-recreate ollama backend web  # the network default differs
        2. wait for ollama backend web  # started or replaced
        3. ensure models qwen3:8b in ollama  # required by the target
        4. verify backend  # what was changed is proved before it is kept
        5. save state  # verified
        """,
    )
    plan = text(plan_apply(NETWORKED, wanted("box", everything=False), there))
    assert "compose up --force-recreate backend web  # " in plan
    assert plan.index("stop and remove container shop-ollama-1") < plan.index("compose up")
    assert "seed" not in plan
    held = replace(there, attached={"default": {"backend-b-local": "shop-backend-1", "x": "other-1"}})
    with pytest.raises(StepFailed, match=r"the network default differs .* still on it: other-1"):
        plan_apply(NETWORKED, wanted("local", everything=True), held)
    same = replace(there, state=replace(state, attached=network_digests(NETWORKED)))
    assert not plan_apply(NETWORKED, wanted("local", everything=True), same)
