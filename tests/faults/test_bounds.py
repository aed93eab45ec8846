"""Time, hostile servers, and what is left behind."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.faults.lab.entry import Entry
from tests.faults.lab.stage import Lab
from tests.faults.lab.world import SERVER
from tests.faults.test_faults import shown

HOSTILE = (
    "endless-headers",
    "slow-loris",
    "slow-body",
    "huge-body",
    "invalid-utf8",
    "deep-json",
    "ansi",
    "garbage",
    "empty",
    "silent",
    "wrong-length",
    "gzip-bomb",
)


def entry(**raw: Any) -> Entry:
    return Entry("own", "", {"id": "own", **raw})


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_server(lab: Lab, kind: str) -> None:
    """Bounded time, one document, and nothing of it unescaped on the terminal."""
    fault = {"routes": [{"match": "*", "hostile": kind}]}
    made = entry(
        make=[{"double": "lan", "faults": fault}],
        kinds=["python", "busybox", "node"],
        consumer={"environment": {"OLLAMA_BASE_URL": f"http://{SERVER}:11434"}},
    )
    with lab.staged(made):
        found = lab.diagnose(made)
        assert found["findings"] or kind == "ansi", "a hostile server is no healthy one"
        assert found["seconds"] < 20
        assert lab.room is not None
        ran = lab.world.stackctl("-C", str(lab.room), "diagnose")
        assert "\x1b]" not in ran["out"] + ran["err"]
        assert "\x1b[31m" not in ran["out"].replace("\x1b[0m", "") or kind != "ansi"


def test_bundle_masks_and_unpacks(lab: Lab, tmp_path: Path) -> None:
    """No secret and no address of the stack in any file of the bundle."""
    made = entry(
        make=[{"double": "lan"}],
        kinds=["python"],
        consumer={"environment": {"OLLAMA_BASE_URL": f"http://{SERVER}:11435", "APP_SECRET": "sesame-open-1"}},
    )
    with lab.staged(made):
        target = tmp_path / "diagnosis.tar.gz"
        assert lab.room is not None
        lab.world.stackctl("-C", str(lab.room), "diagnose", "--bundle", str(target))
        with tarfile.open(target) as archive:
            texts = {
                m.name: (archive.extractfile(m) or pytest.fail(m.name)).read().decode() for m in archive.getmembers()
            }
    assert "stackctl-diagnosis/diagnosis.json" in texts
    for name, text in texts.items():
        assert "sesame-open-1" not in text, name
        assert SERVER not in text, name


def test_a_repair_that_does_not_help_is_taken_back(lab: Lab) -> None:
    """The pin leads to a machine that is off: the container is as before, and no file of ours is left."""
    made = entry(
        kinds=["python"],
        make=[
            {
                "host": f"echo '10.77.0.98 gpu.local' >> {lab.world.room}/hosts",
                "undo": f"host: printf '127.0.0.1 localhost\\n' > {lab.world.room}/hosts",
            }
        ],
        consumer={"environment": {"OLLAMA_BASE_URL": "http://gpu.local:11434"}},
    )
    with lab.staged(made):
        lab.dirty = True
        before = lab.world.docker("compose", "config", cwd=lab.room).stdout
        mended = lab.diagnose(made, "--fix", "--yes")
        assert lab.room is not None
        assert [r["kept"] for r in mended["repairs"]] in ([True], [False]), shown(mended)
        if not mended["repairs"][0]["kept"]:
            assert not (lab.room / ".stackctl" / "fixes.yaml").exists()
        assert lab.world.docker("compose", "config", cwd=lab.room).stdout == before
        assert json.loads(json.dumps(mended["repairs"]))


def test_a_target_that_is_not_applied_is_judged_too(lab: Lab) -> None:
    """`--profile` tries it from where the consumers are, and names why it would fail."""
    config = (
        "version: 1\nconsumers:\n  python: {env: {OLLAMA_BASE_URL: '{url}'}}\n"
        "instances:\n  off: {url: 'http://10.77.0.97:11434'}\n"
        "  named: {url: 'http://box.example:11434', address: 10.77.0.2}\n"
    )
    made = entry(
        ollama={},
        kinds=["python"],
        config=config,
        make=[{"double": "lan"}],
        consumer={"environment": {"OLLAMA_BASE_URL": "http://ollama:11434"}},
    )
    with lab.staged(made):
        assert lab.diagnose(made)["ok"]
        refused = lab.diagnose(made, "--profile", "off")
        assert [f["cause"] for f in refused["findings"]] == ["lan-server-off"], shown(refused)
        assert lab.diagnose(made, "--profile", "named")["ok"], "a pinned name is tried at its address"
        here = lab.diagnose(made, "--profile", "http://localhost:11434")
        assert [f["cause"] for f in here["findings"]] == ["ollama-not-running"], shown(here)


def test_a_refused_switch_says_what_diagnose_says(lab: Lab) -> None:
    """The cause, its summary and the remedy are the same words, in the JSON and on the terminal."""
    config = (
        "version: 1\nconsumers:\n  python: {env: {OLLAMA_BASE_URL: '{url}'}}\n"
        "instances:\n  tls: {url: 'https://gpu.lan:11434'}\n"
    )
    environment = {"OLLAMA_BASE_URL": "http://ollama:11434"}
    double = [{"double": "lan"}]
    made = entry(ollama={}, kinds=["python"], config=config, make=double, consumer={"environment": environment})
    with lab.staged(made):
        judged = [f for f in lab.diagnose(made, "--profile", "tls")["findings"] if f["severity"] == "error"]
        assert [f["cause"] for f in judged] == ["https-on-plain-http"], judged
        assert (
            "# stackctl.yaml: http://gpu.lan:11434 in place of https://gpu.lan:11434" in judged[0]["remedy"]["commands"]
        )
        room = str(lab.room)
        refused = lab.world.stackctl("-C", room, "--json", "switch", "tls")
        assert refused["code"] == 1
        said = json.loads(refused["out"])["findings"]
        for key in ("cause", "consumer", "summary", "remedy"):
            assert [f[key] for f in said] == [f[key] for f in judged]
        shown = lab.world.stackctl("-C", room, "switch", "tls")["err"]
        for words in (judged[0]["summary"], judged[0]["remedy"]["summary"], *judged[0]["remedy"]["commands"]):
            assert words in shown


def test_nothing_of_a_probe_is_left(lab: Lab) -> None:
    """For a consumer without a shell an image to probe with is made of nothing, and taken away again."""
    made = entry(ollama={}, kinds=["none"], consumer={"environment": {"OLLAMA_BASE_URL": "http://ollama:11434"}})
    with lab.staged(made):
        images = set(lab.world.docker("images", "-aq", "--no-trunc").stdout.split())
        found = lab.diagnose(made)
        assert found["ok"], shown(found)
        assert {c["vantage"] for c in found["checks"]} == {"probe"}
        assert set(lab.world.docker("images", "-aq", "--no-trunc").stdout.split()) == images
