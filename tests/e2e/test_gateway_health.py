"""Who serves when instances die, hang, are slow to say how they are, or come back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.gatewaylab import Lab, docker, eventually
from tests.support.httpload import Client

NAMES = ("one", "two", "three")
CONFIG: dict[str, Any] = {
    "instances": {
        **{name: {"url": f"http://{name}:11434", "priority": n} for n, name in enumerate(NAMES, 1)},
        "impatient": {"url": "http://one:11434", "timeout": "1s"},
        "unborn": {"url": "http://unborn:11434", "priority": 2},
    },
    "profiles": {
        "cluster": {"use": list(NAMES)},
        "spread": {"use": list(NAMES), "policy": "least_conn"},
        "backed": {"use": ["one", "two"], "fallback": "local"},
        "hopeful": {"use": ["unborn", "three"]},
    },
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("gateway"), CONFIG)
    try:
        made.start()
        for name in NAMES:
            made.upstream(name)
        made.upstream("local", alias="ollama-local")
        yield made
    finally:
        made.close()


@pytest.fixture
def lab(stack: Lab) -> Iterator[Lab]:
    """The stack, healed after each test."""
    yield stack
    for name in (*NAMES, "local"):
        docker("unpause", stack.container(name)) if stack.state_of(name) == "paused" else None
        stack.restart(name)


def post(lab: Lab, **options: Any) -> httpx.Response:
    return httpx.post(f"{lab.url}/api/chat", json={"options": options}, timeout=30)


def served_by(lab: Lab) -> str:
    return post(lab).headers.get("x-stackctl-instance", "nobody")


def settle(lab: Lab, profile: str) -> None:
    lab.switch(profile)
    eventually(lambda: all(i.checked for i in lab.state().instances))


def test_refused_is_retried_at_once_and_the_instance_is_out(lab: Lab) -> None:
    settle(lab, "cluster")
    lab.control("one", {"listen": False})
    lab.control("two", {"listen": False})
    begin = time.monotonic()
    assert served_by(lab) == "three"
    assert time.monotonic() - begin < 1
    seen = lab.state()
    assert seen.serving == ("three",)
    assert [i.up for i in seen.instances] == [False, False, True]
    assert (seen.notice or "").startswith("cluster is served by three; down: one")


def test_it_is_back_soon_after_it_is_back(lab: Lab) -> None:
    settle(lab, "cluster")
    lab.control("one", {"listen": False})
    assert served_by(lab) == "two"
    lab.restart("one")
    eventually(lambda: served_by(lab) == "one", seconds=6)


def test_a_dead_host_costs_one_connect_timeout_and_no_failure(lab: Lab) -> None:
    settle(lab, "cluster")
    docker("kill", lab.container("one"))
    begin = time.monotonic()
    assert served_by(lab) == "two"
    assert time.monotonic() - begin < 3.5
    begin = time.monotonic()
    assert served_by(lab) == "two"
    assert time.monotonic() - begin < 1


def test_death_under_load(lab: Lab) -> None:
    async def scenario() -> None:
        client = Client(lab.url)
        done = False
        load = asyncio.create_task(client.load(100, lambda: done, [("POST", "/api/chat", {}, False)]))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(docker, "kill", lab.container("one"))
        dead = time.monotonic()
        await asyncio.sleep(3)
        done = True
        samples = await load
        await client.close()
        assert [s for s in samples if s.started > dead and not s.ok] == []

    settle(lab, "cluster")
    asyncio.run(scenario())


def test_one_that_hangs_is_found_by_its_check(lab: Lab) -> None:
    settle(lab, "cluster")
    docker("pause", lab.container("one"))
    eventually(lambda: lab.state().serving == ("two",), seconds=12)
    assert served_by(lab) == "two"


def test_slow_to_say_how_it_is(lab: Lab) -> None:
    settle(lab, "cluster")
    lab.control("one", {"health_delay": 1.5})
    time.sleep(4)  # two checks' time: slower than usual is not ill
    assert lab.state().serving == ("one",)
    lab.control("one", {"health_delay": 20})
    eventually(lambda: lab.state().serving == ("two",), seconds=15)
    lab.control("one", {"health_delay": 0})
    eventually(lambda: lab.state().serving == ("one",), seconds=8)


def test_a_check_that_fails_wrongly_closes_nothing(lab: Lab) -> None:
    for name in NAMES:
        lab.control(name, {"health_status": 404})
    settle(lab, "cluster")
    eventually(lambda: lab.state().serving == (), seconds=8)
    assert (lab.state().notice or "").startswith("no instance of cluster is healthy; down: one (L7STS/404")
    assert served_by(lab) == "one"
    lab.switch("two")
    assert served_by(lab) == "two"


def test_least_connections(lab: Lab) -> None:
    async def scenario() -> None:
        client = Client(lab.url)
        held = [asyncio.create_task(client.request("POST", "/api/chat", {"tokens": 30, "interval": 0.1}, fresh=True))]
        for _ in range(8):
            await asyncio.sleep(0.05)
            held.append(
                asyncio.create_task(client.request("POST", "/api/chat", {"tokens": 30, "interval": 0.1}, fresh=True))
            )
        samples = await asyncio.gather(*held)
        await client.close()
        assert Counter(s.instance for s in samples) == dict.fromkeys(NAMES, 3)

    settle(lab, "spread")
    asyncio.run(scenario())
    lab.control("two", {"listen": False})
    assert all(post(lab).status_code == 200 for _ in range(6))
    eventually(lambda: lab.state().serving == ("one", "three"))


def test_the_fallback_serves_when_the_last_remote_is_down_and_says_so(lab: Lab) -> None:
    settle(lab, "backed")
    assert not lab.state().on_fallback
    for name in ("one", "two"):
        lab.control(name, {"listen": False})
    assert served_by(lab) == "local"
    seen = lab.state()
    assert seen.on_fallback
    assert (seen.notice or "").startswith("local serves as the fallback of backed; down: one")
    lab.restart("two")
    eventually(lambda: served_by(lab) == "two", seconds=6)


def test_the_fallback_may_start_later(lab: Lab) -> None:
    docker("stop", lab.container("local"))
    settle(lab, "backed")
    for name in ("one", "two"):
        lab.control(name, {"listen": False})
    assert post(lab).status_code == 503
    docker("start", lab.container("local"))
    eventually(lambda: served_by(lab) == "local", seconds=8)


def test_a_name_that_does_not_resolve_yet(lab: Lab) -> None:
    settle(lab, "hopeful")
    assert served_by(lab) == "three"
    assert lab.state().instances[0].why == "its name does not resolve"
    lab.upstream("unborn")
    try:
        eventually(lambda: served_by(lab) == "unborn", seconds=8)
    finally:
        docker("rm", "-f", lab.container("unborn"))


def test_alone_and_away(lab: Lab) -> None:
    lab.switch("one")
    lab.control("one", {"listen": False})
    answer = post(lab)
    assert answer.status_code == 503
    assert answer.json() == {"error": "stackctl gateway: one cannot be reached"}
    lab.restart("one")
    eventually(lambda: served_by(lab) == "one", seconds=5)


def test_silence_longer_than_the_instances_timeout(lab: Lab) -> None:
    lab.switch("impatient")
    answer = post(lab, first=5)
    assert answer.status_code == 504
    assert answer.json() == {"error": "stackctl gateway: impatient said nothing for 1 s"}
