"""``on_unreachable``: what ``up`` does where the external Ollama does not answer."""

from __future__ import annotations

from tests.support.double import Double
from tests.support.netlab import Elsewhere
from tests.support.project import MODEL, VOLUMES, Project, backend, ollama


def prepare(stack: Project, address: str, policy: str) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config(instances={"box": {"url": f"http://{address}:11434", "timeout": "2s"}}, on_unreachable=policy)


def test_fail_touches_nothing(stack: Project, far: Elsewhere) -> None:
    prepare(stack, far.address, "fail")
    first = stack.stackctl("up", "box").ended(1)
    assert f"http://{far.address}:11434 cannot serve backend" in first.err
    assert "stackctl diagnose --profile box" in first.err
    assert stack.containers() == {}
    assert not (stack.directory / ".stackctl").exists()

    stack.stackctl("up", "local").ok()
    marks, files = stack.marks(), stack.files()
    for verb in ("up", "switch"):
        stack.stackctl(verb, "box").ended(1)
        assert stack.marks() == marks
        assert stack.files() == files
    far.double("without-the-model")
    refused = stack.stackctl("switch", "box").ended(1)
    assert MODEL in refused.err
    assert stack.marks() == marks
    assert stack.files() == files


def test_degrade_says_so_until_it_is_well(stack: Project, far: Elsewhere) -> None:
    prepare(stack, far.address, "degrade")
    up = stack.stackctl("up", "box").ok()
    assert "degraded: " in up.out
    assert stack.running() == {"backend"}
    status = stack.stackctl("status", "--json").ok().json
    assert status["verified"] is None
    assert "cannot serve backend" in status["degraded"]
    assert status["consumers"][0]["ok"] is False
    assert "degraded" in stack.stackctl("status").ok().out

    far.double("far-double", models=[MODEL])
    stack.stackctl("up").ok()
    status = stack.stackctl("status", "--json").ok().json
    assert status["verified"] is not None
    assert status["degraded"] is None
    assert "This is far-double" in stack.chat()["text"]


def test_local_takes_over(stack: Project, far: Elsewhere) -> None:
    prepare(stack, far.address, "local")
    up = stack.stackctl("up", "box").ok()
    assert "on_unreachable: local takes over" in up.err
    assert stack.running() == {"backend", "ollama"}
    assert "This is local-double" in stack.chat()["text"]


def test_a_profile_without_a_gateway_goes_on_to_the_next(stack: Project, far: Elsewhere, host_double: Double) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config(
        instances={
            "first": {"url": f"http://{far.address}:11434", "timeout": "2s", "priority": 1},
            "second": {"url": f"http://localhost:{host_double.port}", "priority": 2},
        },
        profiles={"both": {"use": ["first", "second"], "fallback": "local"}},
    )
    up = stack.stackctl("up", "both").ok()
    assert "second takes its place in both" in up.err
    assert "This is host-double" in stack.chat()["text"]
    assert stack.running() == {"backend"}
    status = stack.stackctl("status", "--json").ok().json
    assert (status["profile"], status["consumers"][0]["reaches"], status["drift"]) == ("both", "second", [])
    marks = stack.marks()
    stack.stackctl("up").ok()
    assert stack.marks() == marks

    host_double.stop()
    up = stack.stackctl("up").ok()
    assert "local takes its place in both" in up.err
    assert "This is local-double" in stack.chat()["text"]

    far.double("far-double", models=[MODEL])
    stack.stackctl("up").ok()
    assert "This is far-double" in stack.chat()["text"], "the best of them is well again"


def test_of_several_that_are_down_the_first_is_waited_for(stack: Project, far: Elsewhere) -> None:
    stack.compose({"ollama": ollama(), "backend": backend(depends_on=["ollama"])}, volumes=VOLUMES)
    stack.config(
        instances={
            "first": {"url": f"http://{far.address}:11434", "timeout": "2s", "priority": 1},
            "second": {"url": f"http://{far.address}:11435", "timeout": "2s", "priority": 2},
        },
        profiles={"both": {"use": ["first", "second"]}},
        on_unreachable="degrade",
    )
    for _ in range(2):
        assert "degraded: " in stack.stackctl("up", "both").ok().out
        status = stack.stackctl("status", "--json").ok().json
        told = status["consumers"][0]["configured"]
        assert (status["profile"], told) == ("both", f"http://{far.address}:11434"), status

    far.double("far-double", models=[MODEL])
    stack.stackctl("up").ok()
    assert "This is far-double" in stack.chat()["text"]
