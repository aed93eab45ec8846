"""An app that no variable tells its Ollama, behind the gateway: the gateway is there under the name that it uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.double import Double, double
from tests.support.netlab import bridge_address
from tests.support.project import MODEL, VOLUMES, Project, backend, ollama

READS_ITS_FILE = "export OLLAMA_URL=$$(sed -n 's/.*api_base: *//p' /etc/app/config.yaml); exec python3 -m backend"


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[tuple[Double, Double]]:
    """Two Ollamas outside of Docker."""
    with (
        double(tmp_path / "one", host=bridge_address(), name="box-one", models=[MODEL]) as one,
        double(tmp_path / "two", host=bridge_address(), name="box-two", models=[MODEL]) as two,
    ):
        yield one, two


def told_by_a_file(address: str) -> dict[str, Any]:
    """A service such as LiteLLM, whose documented way is a configuration file."""
    return backend(
        environment={"OLLAMA_MODEL": MODEL},
        entrypoint=["sh", "-c", READS_ITS_FILE],
        configs=[{"source": f"app-{address.split('/')[2].partition(':')[0]}", "target": "/etc/app/config.yaml"}],
    )


def file_with(address: str) -> dict[str, str]:
    return {"content": f"model_list:\n  - litellm_params:\n      api_base: {address}\n"}


def answered_by(stack: Project, service: str) -> str:
    text = stack.chat(service)["text"]
    return next((n for n in ("local-double", "box-one", "box-two") if f"This is {n}," in text), text)


def test_what_only_a_name_leads_follows_every_switch(stack: Project, boxes: tuple[Double, Double]) -> None:
    names = {"litellm": "ollama", "by-alias": "llm", "by-container": f"{stack.name}-brain"}
    addresses = {app: f"http://{name}:11434" for app, name in names.items()}
    server = ollama(container_name=names["by-container"], networks={"default": {"aliases": ["llm"]}})
    stack.compose(
        {"ollama": server, **{app: told_by_a_file(address) for app, address in addresses.items()}},
        volumes=VOLUMES,
        configs={f"app-{names[app]}": file_with(address) for app, address in addresses.items()},
    )
    stack.config(
        gateway={"image": "stackctl.local/gateway:dev"},
        consumers={app: {} for app in addresses},
        instances={
            name: {"url": f"http://box.test:{box.port}", "address": bridge_address()}
            for name, box in zip(("one", "two"), boxes, strict=True)
        },
    )
    stack.stackctl("up", "local").ok()
    before = {service: mark for service, mark in stack.marks().items() if service in addresses}
    for target, server_name in (("local", "local-double"), ("one", "box-one"), ("two", "box-two")):
        stack.stackctl("switch", target).ok()
        assert {app: answered_by(stack, app) for app in addresses} == dict.fromkeys(addresses, server_name)
        seen = stack.stackctl("status", "--json").ok().json["consumers"]
        shown = {c["service"]: (c["configured"], c["reaches"], c["ok"]) for c in seen}
        assert shown == dict.fromkeys(addresses, ("http://ollama:11434", target, True))
    assert {service: mark for service, mark in stack.marks().items() if service in addresses} == before
    assert "ollama" not in stack.running()
