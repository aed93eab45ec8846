"""Small scenes for tests of signs: one consumer, one Ollama service, one log."""

from __future__ import annotations

from typing import Any

from stackctl.diagnose import url_text
from stackctl.diagnose.answers import AimAnswers, Answered, Connected, ProbeAnswers, Resolved
from stackctl.diagnose.scene import Scene
from stackctl.ports import Container, EngineInfo
from stackctl.project.compose import ComposeProject

VERSION = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"version":"0.33.0"}'
TAGS = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"models":[{"name":"qwen3:8b"}]}'


def container(service: str, **raw: Any) -> Container:
    """A running container of the project ``shop``."""
    labels = {"com.docker.compose.service": service, "com.docker.compose.project": "shop"}
    base = {"Id": f"{service}-id", "Name": f"/shop-{service}-1", "State": {"Status": "running"}}
    return Container({**base, "Config": {"Labels": labels}, **raw})


def healthy(
    log: str,
    *,
    variable: str = "OLLAMA_BASE_URL",
    value: str = "http://ollama:11434",
    info: EngineInfo | None = None,
    **more: Any,
) -> Scene:
    """A consumer ``app`` that reaches its Ollama, and what its log says."""
    (one,) = url_text.read("app", variable, value)
    aim = AimAnswers(
        Resolved("ollama", ("10.78.0.2",), "", 1.0),
        (Connected("10.78.0.2", 11434, "", 1.0),),
        (),
        (Answered("version", "10.78.0.2", VERSION, "complete", 1.0), Answered("tags", "10.78.0.2", TAGS, "eof", 1.0)),
    )
    services = {"app": {"image": "acme/app", "environment": {variable: value}}, "ollama": {"image": "ollama/ollama"}}
    project = ComposeProject.from_config({"name": "shop", "services": services}, directory="/p", active=set(services))
    return Scene(
        project,
        (container("app"), container("ollama")),
        (),
        (),
        info,
        (one,),
        seen={"app": ProbeAnswers("exec:python3", {one.aim: aim})},
        logs={"shop-app-1": log},
        ollama_services=("ollama",),
        **more,
    )
