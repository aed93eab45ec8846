"""The relay into a container: to an engine whose networks are not this machine's, nothing else leads there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from stackctl.adapters.reach import into
from stackctl.config.url import OllamaUrl
from stackctl.ollama.client import OllamaClient
from stackctl.ollama.errors import Kind, OllamaError
from stackctl.ollama.server import Server
from stackctl.ports import Container
from tests.support.double import until
from tests.support.project import BUSYBOX, MODEL, OLLAMA, docker

HTTPD = 'mkdir -p /w/api; echo \'{"version": "1.2.3"}\' >/w/api/version; exec httpd -f -p 11434 -h /w'
SERVERS = {
    "bash": ("--env", f"OLLAMA_DOUBLE_MODELS={MODEL}", OLLAMA),
    "nc": (BUSYBOX, "sh", "-c", HTTPD),
}


@pytest.fixture(params=sorted(SERVERS))
def container(request: pytest.FixtureRequest) -> Iterator[Container]:
    """A server whose image has bash, or nc alone."""
    name = f"sct-reach-{secrets.token_hex(4)}"
    labels = ("--label", "io.stackctl.test=1")
    docker("run", "--detach", "--init", "--name", name, *labels, *SERVERS[request.param])
    try:
        yield Container(json.loads(docker("inspect", name))[0])
    finally:
        docker("rm", "--force", name)


def client(container: Container, port: int) -> OllamaClient:
    server = Server("local", OllamaUrl("http", "127.0.0.1", port), timeout=20.0)
    return OllamaClient(server, backend=into(["docker"], container, port))


def answers(container: Container) -> bool:
    """Whether the server listens by now."""
    try:
        with client(container, 11434) as asked:
            return bool(asked.version())
    except OllamaError:
        return False


def test_calls_go_through_and_leave_nothing_behind(container: Container) -> None:
    until(lambda: answers(container))
    before = docker("top", container.id, "-o", "pid,args")
    with client(container, 11434) as asked:
        assert asked.version()
        assert asked.version()
    assert docker("top", container.id, "-o", "pid,args") == before


def test_a_refusal_is_told_as_one(container: Container) -> None:
    with client(container, 9) as asked, pytest.raises(OllamaError) as caught:
        asked.version()
    assert caught.value.kind is Kind.REFUSED


def test_a_container_that_ended_is_told(container: Container) -> None:
    docker("rm", "--force", container.id)
    with client(container, 11434) as asked, pytest.raises(OllamaError, match="No such container"):
        asked.version()
