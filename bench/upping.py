"""``stackctl up`` against the same work by hand on one stack: again and again, and from nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, ratio, timed

STACKCTL = str(Path(sys.executable).with_name("stackctl"))
COMPOSE = """\
name: {name}
services:
  backend:
    image: stackctl.local/backend:dev
    environment: {{OLLAMA_URL: "http://ollama:11434", OLLAMA_MODEL: "tiny-chat"}}
    labels: {{io.stackctl.test: "1"}}
    {needs}
    healthcheck: &check
      test: [CMD, python3, -c, "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz')"]
      interval: 5s
      start_period: 30s
      start_interval: 500ms
  ollama:
    image: stackctl.local/ollama-double:dev
    environment: {{OLLAMA_DOUBLE_MODELS: tiny-chat}}
    labels: {{io.stackctl.test: "1"}}
    healthcheck: {{test: [CMD, ollama, list], interval: 5s, start_period: 30s, start_interval: 500ms}}
"""
NEEDS = "depends_on: {ollama: {condition: service_healthy}}"
ASK = "import os, urllib.request as u; u.urlopen(os.environ['OLLAMA_URL'] + '/api/version').read()"
"""What a user would do by hand after a second ``up``: ask the consumer's Ollama from inside the consumer."""
CONFIG = """\
version: 1
consumers: {backend: {env: {OLLAMA_URL: "{url}"}}}
"""


def _figures(directory: str, name: str, needs: str, shape: str) -> Iterator[Figure]:
    here = Path(directory)
    (here / "compose.yaml").write_text(COMPOSE.format(name=name, needs=needs))
    (here / "stackctl.yaml").write_text(CONFIG)
    ours = [STACKCTL, "-C", directory, "-q", "up"]
    plain = ["docker", "compose", "-f", str(here / "compose.yaml")]
    merged = [*plain, "-f", str(here / ".stackctl/override.yaml")]
    down = [*plain, "down", "-t", "0", "-v"]
    try:
        timed(ours)
        yield ratio(
            f"second up / compose up -d, exec to ask ({shape})",
            lambda: timed(ours),
            lambda: timed([*merged, "up", "-d"]) + timed([*merged, "exec", "-T", "backend", "python3", "-c", ASK]),
            1.3,
        )
        cold = []
        for _ in range(5):
            timed(down)
            a = timed(ours)
            timed(down)
            cold.append((a, timed([*merged, "up", "-d", "--wait"])))
        value = statistics.median(a / b for a, b in cold)
        a, b = (statistics.median(x) for x in zip(*cold, strict=True))
        yield Figure(
            f"cold up / docker compose up -d --wait ({shape})", value, 1.1, "x", f"{a:.2f} s against {b:.2f} s"
        )
    finally:
        subprocess.run(down, capture_output=True, check=False)


def run() -> Iterator[Figure]:
    """With a server that the backend waits for; and with nothing to wait for, as in the reference stack.

    Compose takes half a second to see that a dependency is healthy, and a tenth of that where there is none.
    """
    with tempfile.TemporaryDirectory(prefix="stackctl-bench-") as directory:
        yield from _figures(directory, "sct-bench-up", NEEDS, "depends on health")
    with tempfile.TemporaryDirectory(prefix="stackctl-bench-") as directory:
        yield from _figures(directory, "sct-bench-bare", "", "no dependency")
