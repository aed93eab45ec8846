"""A journal that came with a repository undoes nothing: it started what it liked, and stopped what was not its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.trust import TrustStore
from tests.support.project import BUSYBOX, Project, docker, project

pytestmark = pytest.mark.engine

OVERRIDE = {"services": {"app": {"image": BUSYBOX, "privileged": True, "command": ["sleep", "60"], "init": True}}}
VERBS = (["rollback"], ["down"], ["up"], ["switch", "local"], ["detach"], ["restart"])


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", "forged") as made:
        made.env = {"XDG_STATE_HOME": str(tmp_path / "state")}
        made.compose({"app": {"image": BUSYBOX, "environment": {"OLLAMA_URL": "http://box:11434"}}})
        made.config(consumers={"app": {"env": {"OLLAMA_URL": "{url}"}}})
        yield made


@pytest.fixture
def stranger(here: Project) -> Iterator[str]:
    """A container of somebody else's."""
    name = f"{here.name}-stranger"
    docker("run", "--detach", "--init", "--name", name, "--label", "io.stackctl.test=1", BUSYBOX, "sleep", "600")
    try:
        yield name
    finally:
        docker("rm", "--force", name, check=False)


def begin(**snapshot: Any) -> dict[str, Any]:
    """The first line of a journal, as stackctl writes it."""
    empty: dict[str, Any] = {"containers": {}, "override": None, "state": None, "networks": [], "gateway": None}
    head = {"event": "begin", "schema": "stackctl.journal/2", "purpose": "switch local", "pid": 1, "at": 1.0}
    return {**head, "environment": None, "snapshot": {**empty, **snapshot}, "steps": []}


def of_stranger(name: str) -> dict[str, Any]:
    number = docker("inspect", "--format", "{{.Id}}", name).strip()
    gone = {"id": "0" * 64, "name": f"{name}-gone", "state": "running"}
    return {
        "containers": {"app": [gone, {"id": number, "name": name, "state": "exited"}]},
        "override": json.dumps(OVERRIDE),
    }


def untouched(here: Project, stranger: str) -> None:
    assert docker("inspect", "--format", "{{.State.Running}}", stranger).strip() == "true"
    assert not here.containers()
    assert not (here.directory / ".stackctl" / "override.yaml").exists()


def test_a_journal_of_nobody_here(here: Project, stranger: str) -> None:
    line = begin(**of_stranger(stranger))
    for signature in ("", "0" * 64):
        here.write(".stackctl/journal.jsonl", json.dumps({**line, "signature": signature}) + "\n")
        for verb in VERBS:
            ran = here.stackctl(*verb).ended(2)
            assert "was not written by you in this directory" in ran.err
            untouched(here, stranger)


def test_a_journal_of_the_users_own_from_another_place(here: Project, stranger: str, tmp_path: Path) -> None:
    """Signed by the user, but for another directory; and signed for this one, but about a stranger's container."""
    store = TrustStore({"XDG_STATE_HOME": str(tmp_path / "state")})
    line = begin(**of_stranger(stranger))
    for place, says in (
        (tmp_path / "elsewhere" / ".stackctl", "was not written by you in this directory"),
        (here.directory / ".stackctl", f"speaks of {stranger}, which is not of the project"),
    ):
        signature = store.sign(f"{place.resolve()}\n{json.dumps(line)}")
        here.write(".stackctl/journal.jsonl", json.dumps({**line, "signature": signature}) + "\n")
        assert says in here.stackctl("rollback").ended(2).err
        untouched(here, stranger)


def test_a_state_that_names_another_project(here: Project, stranger: str) -> None:
    """`down` is of the project that the files name, whatever a state says."""
    docker("rm", "--force", stranger)
    victim = f"{here.name}-victim"
    labels = {"project": victim, "service": "app", "oneoff": "False", "container-number": "1", "config-hash": "0"}
    flags = [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
    docker("run", "--detach", "--init", "--name", stranger, *flags, BUSYBOX, "sleep", "600")
    state = {
        "schema": "stackctl.state/1", "project": victim, "environment": None, "profile": "local",
        "url": "http://ollama:11434", "verified": None, "override": "0" * 64,
    }  # fmt: skip
    here.write(".stackctl/state.json", json.dumps(state))
    here.write(".stackctl/project", f"{here.name}\n")
    here.stackctl("down").ok()
    assert docker("inspect", "--format", "{{.State.Running}}", stranger).strip() == "true"
