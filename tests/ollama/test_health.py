"""Many instances at once: each its state, all within the time of one."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from stackctl.config.url import OllamaUrl
from stackctl.errors import WrongInput
from stackctl.ollama.client import OllamaClient
from stackctl.ollama.errors import State
from stackctl.ollama.health import check, check_all
from stackctl.ollama.server import Server
from tests.support.double import Double


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@contextmanager
def blackhole() -> Iterator[int]:
    """A port whose queue is full: a connection to it is neither taken nor refused."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def at(port: int, name: str = "it", **changes: object) -> Server:
    return Server(name, OllamaUrl("http", "127.0.0.1", port), **{"timeout": 1.5, **changes})  # type: ignore[arg-type]


def test_forty_instances_ten_of_them_dead(double: Double) -> None:
    with silent() as mute, blackhole() as hole, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = [mute] * 4 + [hole] * 4 + [free.getsockname()[1]] * 2
        servers = [at(port, f"dead{n}") for n, port in enumerate(dead)]
        servers += [at(double.port, f"well{n}") for n in range(30)]
        begun = time.monotonic()
        found = {health.name: health for health in check_all(servers, OllamaClient)}
        took = time.monotonic() - begun
    assert took < 1.5 + 1.0
    assert sum(health.state is State.UNREACHABLE for health in found.values()) == 10
    assert all(found[f"well{n}"].ok for n in range(30))
    assert all(found[f"dead{n}"].hint for n in range(10))


def test_a_resolver_that_hangs_holds_nobody_up(double: Double) -> None:
    class Stuck(OllamaClient):
        def version(self) -> str | None:
            if self.server.name == "stuck":
                time.sleep(6)
            return super().version()

    begun = time.monotonic()
    found = list(check_all([at(double.port, "stuck"), at(double.port, "well")], Stuck))
    assert time.monotonic() - begun < 2.5
    assert {health.name: health.state for health in found} == {"well": State.HEALTHY, "stuck": State.UNREACHABLE}


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ({"bearer": "t"}, State.UNAUTHORISED),
        ({"routes": [{"match": "GET /api/version", "status": 503, "body": "busy"}]}, State.OVERLOADED),
        ({"prefix": "/deep"}, State.MISCONFIGURED),
        ({"accept": "reset", "accept_times": 1}, State.UNREACHABLE),
        ({}, State.HEALTHY),
    ],
)
def test_states(double: Double, fault: dict[str, object], state: State) -> None:
    double.faults(**fault)
    try:
        health = check(at(double.port), OllamaClient)
    finally:
        if "bearer" in fault:
            double.credentials = {"Authorization": f"Bearer {fault['bearer']}"}
        double.heal()
        double.credentials = {}
    assert health.state is state
    assert health.checked.endswith("Z")
    assert (health.latency is not None) == (state is State.HEALTHY)


def test_a_disabled_one_is_not_asked(double: Double) -> None:
    asked = len(double.requests())
    assert check(at(double.port, enabled=False), OllamaClient).state is State.DISABLED
    assert len(double.requests()) == asked


def test_a_missing_secret_is_misconfigured(double: Double) -> None:
    def headers() -> dict[str, str]:
        raise WrongInput("${TOKEN} is not set", hint="export TOKEN=…")

    health = check(at(double.port, headers=headers), OllamaClient)
    assert (health.state, health.message) == (State.MISCONFIGURED, "${TOKEN} is not set")


def test_own_health_path_and_no_version(double: Double) -> None:
    double.faults(
        aliases={"/up": "/", "/models": "/api/tags"},
        routes=[{"match": "GET /api/version", "status": 404, "body": "404 page not found"}],
    )
    health = check(at(double.port, endpoints={"/": "/up", "/api/tags": "/models"}), OllamaClient)
    assert (health.state, health.version) == (State.HEALTHY, None)
