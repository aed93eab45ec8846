"""A switch is a reload: streams go on, kept connections follow, nothing fails, and what is bad is not taken."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from stackctl.errors import StepFailed
from stackctl.gateway import control
from stackctl.ports import Completed
from tests.support.gatewaylab import Lab, docker, eventually
from tests.support.httpload import Client

CONFIG: dict[str, Any] = {
    "instances": {
        "one": {"url": "http://one:11434", "priority": 1, "auth": {"bearer": "${LAB_TOKEN}"}},
        "two": {"url": "http://two:11434", "priority": 2, "auth": {"bearer": "${LAB_TOKEN}"}},
    },
    "profiles": {"both": {"use": ["one", "two"]}},
}
SECRET = "secret-that-must-not-show"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("gateway"), CONFIG, variables={"LAB_TOKEN": SECRET})
    try:
        made.start()
        for name in ("one", "two"):
            made.upstream(name)
        yield made
    finally:
        made.close()


def push(lab: Lab, text: str) -> Completed:
    """Apply a text of our own making, under the digest that it has."""
    old = re.search(r'"digest": "([0-9a-f]{64})"', text)
    assert old
    digest = hashlib.sha256(text.replace(old[1], "%DIGEST%").encode()).hexdigest()
    return lab.apply(text.replace(old[1], digest), digest)


def test_before_the_first_configuration_it_says_so(lab: Lab) -> None:
    assert lab.state().digest == "none"
    answer = httpx.post(f"{lab.url}/api/chat", json={})
    assert answer.status_code == 503
    assert answer.json() == {"error": "stackctl gateway: the gateway has no configuration yet; run: stackctl up"}


def test_switches_under_load_fail_nothing(lab: Lab) -> None:
    async def scenario() -> None:
        client = Client(lab.url)
        await asyncio.to_thread(lab.switch, "one")
        done = False
        streams = [asyncio.create_task(client.stream({"tokens": 3000, "interval": 0.1})) for _ in range(10)]
        kinds = [
            ("POST", "/api/chat", {}, False),
            ("GET", "/api/tags", {}, False),
            ("POST", "/api/chat", {"tokens": 5}, True),
        ]
        load = asyncio.create_task(client.load(100, lambda: done, kinds))
        for number in range(6):
            name = ("two", "one", "both")[number % 3]
            await asyncio.to_thread(lab.switch, name)
            since = time.monotonic()
            await asyncio.sleep(0.3)
            sample = await client.request("POST", "/api/chat", {})
            assert sample.instance == ("two" if name == "two" else "one")
            assert sample.started > since
        assert not any(task.done() for task in streams)
        done = True
        for name in ("one", "two"):
            await asyncio.to_thread(lab.control, name, {"finish": True})
        samples, ended = await load, await asyncio.gather(*streams)
        await client.close()
        assert [s for s in samples if not s.ok] == []
        assert [error for lines, error in ended if error or lines < 2] == []

    try:
        asyncio.run(scenario())
    finally:
        for name in ("one", "two"):
            lab.control(name, {"finish": False})


def test_a_kept_connection_follows_the_switch(lab: Lab) -> None:
    async def scenario() -> None:
        client = Client(lab.url)
        await asyncio.to_thread(lab.switch, "one")
        assert (await client.request("POST", "/api/chat")).instance == "one"
        kept = client.idle[0]
        await asyncio.to_thread(lab.switch, "two")
        assert client.idle == [kept]
        assert kept.usable()
        assert (await client.request("POST", "/api/chat")).instance == "two"
        assert not kept.usable(), "the worker that is being replaced must say that it closes"

    asyncio.run(scenario())


def test_a_bad_configuration_is_refused_and_the_former_one_stays(lab: Lab) -> None:
    rendered = lab.switch("one")
    with pytest.raises(StepFailed, match=r"refuses the gateway's configuration: .*unknown keyword 'nonsense'"):
        control.check_applied(push(lab, rendered.text + "    nonsense\n"))
    assert lab.state().digest == rendered.digest
    assert lab.exec(control.RUNNING).text == rendered.text


def test_one_that_never_arrives_is_taken_back(lab: Lab) -> None:
    rendered = lab.switch("one")
    foreign = lab.render("two").text.replace("    bind :11434", "    bind 192.0.2.1:80").replace(" v4v6", "")
    with pytest.raises(StepFailed, match=r"the former one is back"):
        control.check_applied(push(lab, foreign.replace(":::11434", "192.0.2.1:11434")))
    eventually(lambda: lab.state().digest == rendered.digest)
    assert httpx.post(f"{lab.url}/api/chat", json={}).headers["x-stackctl-instance"] == "one"


def test_half_a_configuration_is_not_taken(lab: Lab) -> None:
    before, other = lab.switch("both"), lab.render("one")
    whole = other.text
    half = whole[: whole.rindex("    http-check expect")] + whole[whole.rindex("    server one") :]
    with pytest.raises(StepFailed, match=r"came in incomplete"):
        control.check_applied(lab.apply(half, other.digest))
    assert lab.state().digest == before.digest


def test_the_running_text_undoes_a_switch(lab: Lab) -> None:
    first = lab.switch("one")
    before = lab.exec(control.RUNNING).text
    lab.switch("two")
    control.check_applied(lab.apply(before, first.digest))
    assert lab.state().digest == first.digest


@pytest.mark.parametrize("how", ["restart", "recreate"])
def test_it_comes_back_with_what_it_had(lab: Lab, how: str) -> None:
    rendered = lab.switch("two")
    if how == "restart":
        docker("restart", lab.gateway)
    else:
        lab.compose("up", "-d", "--force-recreate", "--wait")
    eventually(lambda: lab.state().digest == rendered.digest)
    assert httpx.post(f"{lab.url}/api/chat", json={}).headers["x-stackctl-instance"] == "two"


def test_a_configuration_that_no_longer_fits_does_not_keep_it_down(lab: Lab) -> None:
    lab.switch("two")
    lab.exec(["sh", "-c", "echo nonsense >>/var/lib/haproxy/gateway.cfg"])
    docker("restart", lab.gateway)
    eventually(lambda: lab.state().digest == "none")
    lab.switch("two")
    assert httpx.post(f"{lab.url}/api/chat", json={}).headers["x-stackctl-instance"] == "two"


def test_workers_end_when_their_last_stream_has(lab: Lab) -> None:
    for name in ("one", "two", "one"):
        lab.switch(name)
    eventually(lambda: len(docker("top", lab.gateway).splitlines()) == 3, seconds=20)


def test_requests_under_way_are_counted_on_former_workers_too(lab: Lab) -> None:
    def under_way(name: str) -> int:
        return int(lab.exec(control.requests_argv([lab.address(name)], 11434)).text)

    async def scenario() -> None:
        client = Client(lab.url)
        await asyncio.to_thread(lab.switch, "one")
        streams = [asyncio.create_task(client.stream({"tokens": 3000, "interval": 0.1})) for _ in range(3)]
        await asyncio.to_thread(eventually, lambda: lab.ask("one", "/seen")["open"] == 3)
        await asyncio.to_thread(lab.switch, "two")
        assert await asyncio.to_thread(under_way, "one") == 3
        await asyncio.to_thread(lab.control, "one", {"finish": True})
        assert [error for _, error in await asyncio.gather(*streams)] == [""] * 3
        await asyncio.to_thread(eventually, lambda: under_way("one") == 0)

    try:
        asyncio.run(scenario())
    finally:
        lab.control("one", {"finish": False})


# -- secrets ---------------------------------------------------------------------


def test_the_secret_is_where_haproxy_reads_it_and_nowhere_else(lab: Lab) -> None:
    for name in ("both", "one", "both"):
        lab.switch(name)
    assert sent(lab) == f"Bearer {SECRET}"
    for where in (docker("inspect", lab.gateway), docker("logs", lab.gateway), lab.compose("config")):
        assert SECRET not in where
    assert SECRET not in lab.exec(["sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline"]).text
    holding = lab.exec(["grep", "-rlF", SECRET, "/var/lib/haproxy", "/tmp", "/dev/shm", "/run", "/etc"]).text
    assert holding.split() == ["/var/lib/haproxy/secrets.cfg"]
    assert lab.exec(["stat", "-c", "%a %U", "/var/lib/haproxy/secrets.cfg"]).text.split() == ["600", "haproxy"]


def test_a_new_value_takes_effect_by_a_reload(lab: Lab) -> None:
    rendered = lab.switch("one")
    container = docker("inspect", "-f", "{{.Id}}", lab.gateway)
    assert sent(lab) == f"Bearer {SECRET}"
    assert lab.stale() == []
    lab.variables["LAB_TOKEN"] = "the next one"
    try:
        assert lab.stale() == ["LAB_TOKEN"]
        assert lab.switch("one").digest == rendered.digest
        assert lab.stale() == []
        assert sent(lab) == "Bearer the next one"
        docker("restart", lab.gateway)
        eventually(lambda: sent(lab) == "Bearer the next one")
        assert docker("inspect", "-f", "{{.Id}}", lab.gateway) == container
    finally:
        lab.variables["LAB_TOKEN"] = SECRET


def test_a_value_that_is_not_to_be_had_now_stays_as_it_is(lab: Lab) -> None:
    lab.switch("one")
    rendered = lab.render("two")
    control.check_applied(lab.exec(control.apply_argv(rendered.digest), stdin=control.apply_input(rendered.text, {})))
    assert sent(lab, "two") == f"Bearer {SECRET}"


def sent(lab: Lab, to: str = "one") -> str:
    """The credentials with which a request arrives."""
    httpx.post(f"{lab.url}/api/chat", json={})
    found: str = lab.ask(to, "/seen")["seen"][-1]["headers"]["authorization"]
    return found


# -- privileges ------------------------------------------------------------------


def test_it_may_do_no_more_than_it_needs(lab: Lab) -> None:
    host = json.loads(docker("inspect", lab.gateway))[0]["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert lab.exec(["sh", "-c", "touch /etc/x || touch /usr/x"]).code != 0
    for line in lab.exec(["grep", "-hE", "^(CapEff|NoNewPrivs|Uid)", "/proc/1/status"]).text.splitlines():
        word, *values = line.split()
        assert {"CapEff:": values == ["0" * 16], "NoNewPrivs:": values == ["1"]}.get(word, values[0] != "0"), line
