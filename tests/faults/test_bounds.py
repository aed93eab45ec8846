"""Time, hostile servers, and what is left behind."""

from __future__ import annotations

import json
import subprocess
import tarfile
import time
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


def _timed(lab: Lab, services: int) -> tuple[float, list[str]]:
    names = [f"app{n}" for n in range(services)]
    kinds = ("lab/python", "lab/debian", "lab/node")
    more = {
        n: {
            "image": kinds[i % 3],
            "init": True,
            "command": ["sleep", "100000"],
            "environment": {"OLLAMA_BASE_URL": "http://ollama:11434"},
        }
        for i, n in enumerate(names)
    }
    made = entry(ollama={}, kinds=[], services=more)
    made.raw["kinds"] = ()
    with lab.staged(made):
        lab.diagnose(made)
        best = min(lab.diagnose(made)["seconds"] for _ in range(3))
    return best, names


def test_time_of_a_healthy_stack(lab: Lab) -> None:
    """Three consumers: at most two `docker compose exec` and a second; twenty: at most three times that of three."""
    names = ["debian", "python", "node"]
    made = entry(ollama={}, kinds=names, consumer={"environment": {"OLLAMA_BASE_URL": "http://ollama:11434"}})
    with lab.staged(made):
        lab.diagnose(made)
        three = min(lab.diagnose(made)["seconds"] for _ in range(3))
        execs = []
        for _ in range(3):
            begun = time.monotonic()
            lab.world.docker("compose", "exec", "-T", "debian", "true", cwd=lab.room)
            execs.append(time.monotonic() - begun)
        begun = time.monotonic()
        for name in names:
            for command in (
                "getent hosts ollama || nslookup ollama",
                "timeout 3 bash -c '</dev/tcp/ollama/11434'",
                "true $OLLAMA_BASE_URL/api/version",
                "true $OLLAMA_BASE_URL/api/tags",
            ):
                lab.world.docker("compose", "exec", "-T", name, "sh", "-c", command, cwd=lab.room, check=False)
        by_hand = time.monotonic() - begun
    assert three <= 2 * min(execs) + 1.0, f"{three:.2f} s against {min(execs):.2f} s an exec"
    more = {
        f"app{n}": {
            "image": f"lab/{names[n % 3]}",
            "init": True,
            "command": ["sleep", "100000"],
            "environment": {"OLLAMA_BASE_URL": "http://ollama:11434"},
        }
        for n in range(17)
    }
    many = entry(
        ollama={}, kinds=names, services=more, consumer={"environment": {"OLLAMA_BASE_URL": "http://ollama:11434"}}
    )
    with lab.staged(many):
        lab.diagnose(many)
        twenty = min(lab.diagnose(many)["seconds"] for _ in range(2))
    assert twenty <= 3 * three, f"{twenty:.2f} s against {three:.2f} s"
    assert three <= 0.5 * by_hand


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


def test_nothing_of_a_probe_is_left(lab: Lab) -> None:
    """Without any image to probe with, one is made of nothing and taken away again."""
    made = entry(ollama={}, kinds=["none"], consumer={"environment": {"OLLAMA_BASE_URL": "http://ollama:11434"}})
    with lab.staged(made):
        lab.world.docker("image", "rm", "stackctl.local/python:base")
        try:
            images = lab.world.docker("images", "-aq", "--no-trunc").stdout
            found = lab.diagnose(made)
            assert found["ok"], shown(found)
            assert {c["vantage"] for c in found["checks"]} == {"probe"}
            assert lab.world.docker("images", "-aq", "--no-trunc").stdout == images
            assert subprocess.run(["true"], check=False).returncode == 0
        finally:
            lab.world.docker("tag", "lab/python", "stackctl.local/python:base")
