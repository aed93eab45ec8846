"""stackctl itself with `gateway: true`: one address for good, no new container on a switch, tokens, the fallback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.double import Double, double
from tests.support.gatewaylab import eventually
from tests.support.netlab import bridge_address
from tests.support.project import MODEL, VOLUMES, Project, backend, docker, ollama


class _Compose(yaml.SafeLoader):
    """Reads ``!override`` and ``!reset`` as Compose's own."""


_Compose.add_multi_constructor("!", lambda loader, _tag, node: _plain(loader, node))


def _plain(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None


TOKEN = "gateway-token-%{x}'$y"
STREAM = """
import json, sys, urllib.request
body = json.dumps({"model": "tiny-chat", "prompt": "[double tokens=%d tps=10] go"}).encode()
count = 0
for line in urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/api/generate", body), timeout=60):
    count += 1
    if count == 1: print("begun", flush=True)
print(json.dumps({"lines": count, "done": json.loads(line)["done"]}), flush=True)
"""


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[tuple[Double, Double]]:
    """Two Ollamas outside of Docker; the second wants a token."""
    with (
        double(tmp_path / "one", host=bridge_address(), name="box-one", models=[MODEL]) as one,
        double(
            tmp_path / "two", host=bridge_address(), name="box-two", models=[MODEL], faults={"bearer": TOKEN}
        ) as two,
    ):
        yield one, two


@pytest.fixture
def gated(stack: Project, boxes: tuple[Double, Double]) -> Project:
    one, two = boxes
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config(
        gateway={"image": "stackctl.local/gateway:dev"},
        instances={
            "one": {"url": f"http://box.test:{one.port}", "address": bridge_address(), "priority": 1},
            "two": {
                "url": f"http://box.test:{two.port}",
                "address": bridge_address(),
                "priority": 2,
                "auth": {"bearer": "${BOX_TOKEN}"},
            },
        },
        profiles={"cluster": {"use": ["one", "two"], "fallback": "local"}},
    )
    stack.env["BOX_TOKEN"] = TOKEN
    return stack


def answered_by(stack: Project) -> str:
    text = stack.chat()["text"]
    return next((n for n in ("local-double", "box-one", "box-two") if f"This is {n}," in text), text)


def untouched(stack: Project) -> dict[str, tuple[str, str]]:
    return {s: mark for s, mark in stack.marks().items() if s in ("backend", "stackctl-gateway")}


def reaches(stack: Project) -> dict[str, Any]:
    found: dict[str, Any] = stack.stackctl("status", "--json").ok().json["consumers"][0]
    return found


def test_one_address_for_good(gated: Project) -> None:
    gated.stackctl("up", "local").ok()
    assert answered_by(gated) == "local-double"
    before = untouched(gated)
    assert set(before) == {"backend", "stackctl-gateway"}
    told = reaches(gated)["configured"]
    for target, name in (("one", "box-one"), ("two", "box-two"), ("cluster", "box-one"), ("local", "local-double")):
        gated.stackctl("switch", target).ok()
        assert answered_by(gated) == name
        assert untouched(gated) == before
        assert reaches(gated) | {"reason": None, "uses": None} == {
            "service": "backend",
            "configured": told,
            "reaches": reaches(gated)["reaches"],
            "told": told,
            "uses": None,
            "ok": True,
            "reason": None,
        }
    assert gated.stackctl("up").ok()
    assert untouched(gated) == before
    gated.stackctl("switch", "one").ok()
    gated.stackctl("rollback").ok()
    assert untouched(gated) == before


def test_the_token_shows_nowhere(gated: Project) -> None:
    gated.stackctl("up", "two").ok()
    assert answered_by(gated) == "box-two"
    gateway = gated.containers()["stackctl-gateway"]["Id"]
    environments = docker("exec", gateway, "sh", "-c", "cat /proc/[0-9]*/environ")
    for text in (json.dumps(gated.containers()), environments.replace("\0", "\n"), docker("logs", gateway)):
        assert TOKEN not in text
        assert json.dumps(TOKEN)[1:-1] not in text
    for data in gated.files().values():
        assert TOKEN.encode() not in data
    assert TOKEN not in gated.stackctl("render", "two", "--merged").ok().out


def test_it_comes_back_by_itself_tokens_and_all(gated: Project) -> None:
    gated.stackctl("up", "two").ok()
    docker("restart", "--timeout", "0", gated.containers()["stackctl-gateway"]["Id"])
    eventually(lambda: answered_by(gated) == "box-two")


def test_another_instance_with_a_token_of_its_own_changes_nothing_of_the_container(gated: Project) -> None:
    gated.stackctl("up", "local").ok()
    before = untouched(gated)
    del gated.env["BOX_TOKEN"]
    gated.stackctl("switch", "one").ok()
    gated.env["BOX_TOKEN"] = TOKEN
    gated.stackctl("switch", "two").ok()
    assert answered_by(gated) == "box-two"
    assert untouched(gated) == before


def test_what_is_rendered_can_be_read(gated: Project) -> None:
    for options in ((), ("--merged",)):
        shown = yaml.load(gated.stackctl("render", "cluster", *options).ok().out, Loader=_Compose)
        gateway = shown["services"]["stackctl-gateway"]
        words = [*gateway["entrypoint"], *(gateway["command"] or []), *gateway["healthcheck"]["test"]]
        assert all(word.count("\n") <= 3 and len(word) <= 300 for word in words)
        assert "\n" in gateway["environment"]["STACKCTL_GATEWAY_START"]


def test_a_stream_goes_on_through_a_switch_away_from_the_local_server(gated: Project) -> None:
    gated.stackctl("up", "local").ok()
    container = gated.containers()["backend"]["Id"]
    told = reaches(gated)["configured"]
    with subprocess.Popen(
        ["docker", "exec", container, "python3", "-u", "-c", STREAM % 300, told], stdout=subprocess.PIPE, text=True
    ) as stream:
        assert stream.stdout is not None
        assert stream.stdout.readline() == "begun\n"
        switched = gated.stackctl("switch", "one").ok()
        assert "left running" in switched.err
        assert answered_by(gated) == "box-one"
        assert json.loads(stream.stdout.read())["done"] is True
    assert "ollama" in gated.running()
    gated.stackctl("up").ok()
    assert "ollama" not in gated.running()


def test_the_fallback_serves_and_status_says_so(gated: Project, boxes: tuple[Double, Double]) -> None:
    gated.stackctl("up", "cluster").ok()
    assert answered_by(gated) == "box-one"
    boxes[0].stop()
    eventually(lambda: answered_by(gated) == "box-two")
    boxes[1].stop()
    eventually(lambda: answered_by(gated) == "local-double")
    status = gated.stackctl("status", "--json")
    assert "local serves as the fallback of cluster" in status.out + status.err


def test_detach_leaves_nothing_of_it(gated: Project) -> None:
    gated.stackctl("up", "one").ok()
    gated.stackctl("detach").ok()
    mine = f"label=com.docker.compose.project={gated.name}"
    assert "stackctl-gateway" not in gated.containers()
    assert "stackctl-inner" not in docker("network", "ls", "--filter", mine, "--format", "{{.Name}}")
    assert "stackctl-gateway" not in docker("volume", "ls", "--filter", mine, "--format", "{{.Name}}")
