"""A directory that nobody trusts runs nothing, whatever is asked in it; and what the user's yes is worth."""

from __future__ import annotations

import io
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Ran, run_here
from tests.support.project import BACKEND, CONSUMERS, Project, project
from tests.support.verbs import command_lines

pytestmark = pytest.mark.engine


def hostile(here: Project, canary: Path, *, gateway: bool) -> None:
    """A repository as an attacker hands it over, with a state and an override as if it had been up."""
    command = f"${{cmd:touch {canary}}}"
    here.compose({"backend": {"image": BACKEND}})
    here.write(".env", f"TOKEN='{command}'\n")
    box = {"url": "http://127.0.0.1:1", "auth": {"bearer": command}}
    # Only a gateway sends these.
    behind = {
        "box": {**box, "headers": {"X-A": f"a {command}"}},
        "other": {"url": "http://127.0.0.1:2", "auth": {"basic": {"user": "u", "password": command}}},
        "third": {"url": "http://127.0.0.1:3", "headers": {"X-Key": command}},
    }
    here.config(
        gateway=gateway,
        consumers={"backend": {"env": {**CONSUMERS["backend"]["env"], "KEY": "{token}", "K": "{token} ${TOKEN}"}}},
        instances=behind if gateway else {"box": box},
        default="box",
    )
    override = "services: {backend: {environment: {KEY: '${STACKCTL_TOKEN_BOX}'}}}\n"
    here.write(".stackctl/override.yaml", override)
    state = {
        "schema": "stackctl.state/1", "project": here.name, "environment": None, "profile": "box",
        "url": "http://127.0.0.1:1", "verified": "2026-01-01T00:00:00Z", "override": "0" * 64,
    }  # fmt: skip
    here.write(".stackctl/state.json", json.dumps(state))


@pytest.mark.parametrize("line", list(command_lines()), ids=" ".join)
def test_no_verb_runs_anything(tmp_path: Path, line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary"
    with project(tmp_path / "project", "hostile") as here:
        here.env = {"XDG_STATE_HOME": str(tmp_path / "state")}
        for gateway in (False, True):
            hostile(here, canary, gateway=gateway)
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello\n")))
            ran = here.stackctl(*line)
            assert not canary.exists(), ran.text
            assert ran.code in (0, 1, 2, 4), ran.text
        assert not here.containers()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", "hostile") as made:
        made.env = {"XDG_STATE_HOME": str(tmp_path / "state")}
        yield made


def test_looking_says_what_is_there(here: Project, tmp_path: Path) -> None:
    hostile(here, tmp_path / "canary", gateway=False)
    for line in (
        ["render"],
        ["render", "--merged"],
        ["ps"],
        ["status"],
        ["instances", "list"],
        ["compose", "--", "ps"],
    ):
        here.stackctl(*line).ok()
    assert "bearer (by command)" in here.stackctl("instances", "list").out
    hostile(here, tmp_path / "canary", gateway=True)
    entries = here.stackctl("instances", "list", "--json").ok().json["instances"]
    assert [e["secret"] for e in entries] == ["by command", "by command", None]
    assert "bearer (by command)" in here.stackctl("instances", "list").out


def test_the_yes_is_given_once_to_one_text(here: Project, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hostile(here, canary, gateway=False)

    def up() -> Ran:
        return here.stackctl("switch", "box", "--json")

    refused = up().ended(2)
    assert refused.json["error"] == "Untrusted"
    assert refused.json["hint"].startswith("stackctl trust ")
    assert refused.json["where"].startswith("stackctl.yaml:")
    shown = here.stackctl("trust", "--json").ok()
    assert {r["reference"] for r in shown.json["references"]} == {f"${{cmd:touch {canary}}}"}
    assert f"touch {canary}" in shown.err
    assert not canary.exists()
    assert "supplies nothing" in up().ended(2).text
    assert canary.exists()
    canary.unlink()

    records = [p for p in (tmp_path / "state").rglob("*") if p.is_file()]
    assert [stat.S_IMODE(p.stat().st_mode) for p in records] == [0o600]
    assert stat.S_IMODE(records[0].parent.stat().st_mode) == 0o700
    assert not [p for p in here.directory.rglob("*") if "trust" in p.name]

    with (here.directory / "stackctl.yaml").open("a") as file:
        file.write("# another text\n")
    assert "not trusted" in up().ended(2).text
    here.stackctl("trust").ok()
    here.stackctl("trust", "--revoke").ok()
    assert "not trusted" in up().ended(2).text
    assert not canary.exists()


def test_a_file_from_elsewhere(here: Project, tmp_path: Path) -> None:
    """A path out of the directory, written as one or hidden in a link, waits for a yes; one inside does not."""
    key = tmp_path / "id_rsa"
    key.write_text("key-of-the-user")
    here.write("token", "inside")
    (here.directory / "link").symlink_to(key)
    here.compose({"backend": {"image": BACKEND}})
    for path, says in (("../id_rsa", "is not read"), (str(key), "is not read"), ("link", "is not read"), ("token", "")):
        here.config(
            gateway=True, instances={"box": {"url": "http://127.0.0.1:1", "auth": {"bearer": f"${{file:{path}}}"}}}
        )
        ran = run_here("-C", here.directory, "instances", "test", "--json", env=here.env).ended(1)
        assert says in str(ran.json["instances"][0]["message"])
        assert ("trust" in str(ran.json["instances"][0])) is bool(says)
