"""An instance whose credentials nobody would send is refused as a target, and holds up nothing else."""

from __future__ import annotations

import pytest

from tests.support.project import VOLUMES, Project, backend, ollama

PASSWORD = "${BOX_PASSWORD}"


@pytest.mark.parametrize(
    ("auth", "kind"),
    [({"bearer": PASSWORD}, "bearer"), ({"basic": {"user": "reader", "password": PASSWORD}}, "basic")],
)
def test_only_as_a_target(stack: Project, auth: dict[str, object], kind: str) -> None:
    stack.compose({"ollama": ollama(), "backend": backend()}, volumes=VOLUMES)
    stack.config(instances={"box": {"url": "http://box.example:11434", "auth": auth}}, default="box")
    stack.env = {"BOX_PASSWORD": "hunter2-hunter2"}
    refused = stack.stackctl("up").ended(2)
    assert f"needs credentials ({kind})" in refused.err
    assert "gateway: true" in refused.err
    assert stack.containers() == {}
    stack.stackctl("render", "local").ok()
    stack.stackctl("up", "local").ok()
    before = stack.marks()
    stack.stackctl("status").ok()
    stack.stackctl("switch", "box").ended(2)
    assert stack.marks() == before
