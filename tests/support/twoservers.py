"""A stack with a choice: an Ollama of its own, and one on the host."""

from __future__ import annotations

from typing import Any

from tests.support.cli import Ran
from tests.support.double import Double
from tests.support.project import VOLUMES, Project, backend, bystander, ollama


def prepare(stack: Project, server: Double, **settings: Any) -> None:
    """A backend, a page that has nothing to do with Ollama, a local Ollama, and one on the host."""
    services = {"ollama": ollama(), "backend": backend(depends_on=["ollama"]), "page": bystander()}
    stack.compose(services, volumes=VOLUMES)
    stack.config(**{"instances": {"host": {"url": f"http://localhost:{server.port}"}}, **settings})


def answered_by(stack: Project, name: str, service: str = "backend") -> None:
    assert f"This is {name}, a test double" in stack.chat(service)["text"]


def refused(ran: Ran, code: int, *says: str) -> None:
    ran.ended(code)
    for text in says:
        assert text in ran.err
    assert "Traceback" not in ran.err
