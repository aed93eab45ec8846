"""``stackctl diagnose`` of a healthy stack: beside one ``docker compose exec``, and beside asking by hand."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.figures import Figure, timed

STACKCTL = str(Path(sys.executable).with_name("stackctl"))
URL = "http://ollama:11434"
BY_HAND = (
    ["nslookup", "ollama"],
    ["sh", "-c", "nc -w 3 ollama 11434 </dev/null"],
    ["wget", "-qO-", f"{URL}/api/version"],
    ["wget", "-qO-", f"{URL}/api/tags"],
)
FEW, MANY, RUNS = 3, 20, 5


def _service(image: str, **more: Any) -> dict[str, Any]:
    return {"image": image, "labels": {"io.stackctl.test": "1"}, "stop_grace_period": "0s", **more}


@contextmanager
def _stack(size: int) -> Iterator[str]:
    """A healthy stack with that many consumers: one with Python, the others with nothing but busybox."""
    app = {"environment": {"OLLAMA_BASE_URL": URL}, "command": ["sleep", "100000"], "init": True}
    services = {f"app{n}": _service("stackctl.local/busybox:base", **app) for n in range(size - 1)}
    services["python"] = _service("stackctl.local/python:base", **app)
    services["ollama"] = _service(
        "stackctl.local/ollama-double:dev",
        healthcheck={"test": ["CMD", "ollama", "list"], "start_period": "30s", "start_interval": "500ms"},
    )
    with tempfile.TemporaryDirectory(prefix="stackctl-bench-") as directory:
        document = {"name": f"sct-bench-diagnose-{size}", "services": services}
        (Path(directory) / "compose.yaml").write_text(json.dumps(document))
        compose = ["docker", "compose", "-f", f"{directory}/compose.yaml"]
        try:
            timed([*compose, "up", "-d", "--wait"])
            yield directory
        finally:
            subprocess.run([*compose, "down", "-t", "0"], capture_output=True, check=False)


def _exec(directory: str, service: str, argv: list[str]) -> float:
    return timed(["docker", "compose", "-f", f"{directory}/compose.yaml", "exec", "-T", service, *argv])


def _diagnose(directory: str) -> float:
    return timed([STACKCTL, "-C", directory, "-q", "diagnose"])


def run() -> Iterator[Figure]:
    """Medians of runs that take turns, so that what else runs here meets all of them."""
    with _stack(FEW) as few, _stack(MANY) as many:
        _diagnose(few)
        turns = []
        for _ in range(RUNS):
            by_hand = sum(_exec(many, f"app{n}", argv) for n in range(MANY - 1) for argv in BY_HAND) * MANY / (MANY - 1)
            turns.append((_diagnose(few), _exec(few, "app0", ["true"]), _diagnose(many), by_hand))
    three, one, twenty, hand = (statistics.median(values) for values in zip(*turns, strict=True))
    yield Figure(
        f"diagnose of {FEW} consumers - 2 docker compose exec", three - 2 * one, 1.0, "s", f"{three:.2f} s, {one:.2f} s"
    )
    yield Figure(f"diagnose of {MANY} / of {FEW} consumers", twenty / three, 3.0, "x", f"{twenty:.2f} s")
    yield Figure(f"diagnose of {MANY} consumers / by hand", twenty / hand, 0.35, "x", f"{hand:.2f} s by hand")
