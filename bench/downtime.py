"""How long a consumer cannot be served while it is pointed elsewhere: ``stackctl switch`` against the manual way.

A client asks the backend for a chat, over and over, in the same run. The
manual way is what people do today: edit ``.env``, ``docker compose down``,
``docker compose up -d``. The stack has each of the shapes that are in use:
``depends_on`` as a list (the most common by far), with a condition, and none.
Without any, Docker and the backend take the same time in both ways for most
of it, so that figure is told and has no bar.
"""

from __future__ import annotations

import itertools
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import Figure, timed

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.double import double  # noqa: E402

STACKCTL = str(Path(sys.executable).with_name("stackctl"))
ROUNDS = 3
COMPOSE = """\
name: sct-bench-downtime
services:
  backend:
    image: stackctl.local/backend:dev
    init: true
    environment: {{OLLAMA_URL: "${{OLLAMA_URL:-http://ollama:11434}}", OLLAMA_MODEL: "llama3.2:1b"}}
    extra_hosts: ["host.docker.internal:host-gateway"]
    ports: ["127.0.0.1:{port}:8000"]
    labels: {{io.stackctl.test: "1"}}
    {needs}
  ollama:
    image: stackctl.local/ollama-double:dev
    healthcheck: {{test: [CMD, ollama, list], interval: 5s, start_period: 30s, start_interval: 500ms}}
    environment: {{OLLAMA_DOUBLE_MODELS: "llama3.2:1b"}}
    labels: {{io.stackctl.test: "1"}}
"""
SHAPES = {
    "depends_on: [ollama]": ("depends_on: [ollama]", 0.6),
    "service_healthy": ("depends_on: {ollama: {condition: service_healthy}}", 0.6),
    "no depends_on": ("", None),
}
CONFIG = """\
version: 1
consumers: {backend: {env: {OLLAMA_URL: "{url}"}}}
local: {gpu: none}
"""


class Client(threading.Thread):
    """Asks every 20 ms; ``served`` are the times of good answers."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/chat"
        self.served: list[float] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        body = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
        while not self.stopped.wait(0.02):
            request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=2) as answer:
                    if b"error" not in answer.read():
                        self.served.append(time.monotonic())
            except OSError:
                continue

    def await_served(self, *, within: float = 60) -> None:
        begun, end = time.monotonic(), time.monotonic() + within
        while not any(t > begun for t in self.served[-1:]):
            if time.monotonic() > end:
                raise SystemExit("the backend does not serve")
            time.sleep(0.02)


def _unserved(client: Client, change: Callable[[], object]) -> float:
    """The longest time between two good answers around a change."""
    client.await_served()
    begun = len(client.served) - 1
    change()
    client.await_served()
    times = client.served[begun:]
    return max(b - a for a, b in itertools.pairwise(times))


def run() -> Iterator[Figure]:
    """Alternately by stackctl and by hand, from the container to the host and back, for each shape."""
    with (
        tempfile.TemporaryDirectory(prefix="stackctl-bench-") as folder,
        double(Path(folder) / "host", host="0.0.0.0", models=["llama3.2:1b"]) as outside,
    ):
        for number, (shape, (needs, bar)) in enumerate(SHAPES.items()):
            here = Path(folder) / f"stack{number}"
            here.mkdir()
            pairs = _pairs(here, needs, outside.port)
            ratio = statistics.median(a / b for a, b in pairs)
            a, b = (statistics.median(x) for x in zip(*pairs, strict=True))
            yield Figure(f"unserved by a switch / by hand ({shape})", ratio, bar, "x", f"{a:.2f} s against {b:.2f} s")


def _pairs(here: Path, needs: str, outside: int) -> list[tuple[float, float]]:
    port = _free_port()
    (here / "compose.yaml").write_text(COMPOSE.format(port=port, needs=needs))
    (here / "stackctl.yaml").write_text(CONFIG)
    away, home = f"http://host.docker.internal:{outside}", "http://ollama:11434"
    plain = ["docker", "compose", "-f", str(here / "compose.yaml")]

    def by_hand(url: str) -> None:
        (here / ".env").write_text(f"OLLAMA_URL={url}\n")
        timed([*plain, "down"], cwd=str(here))
        timed([*plain, "up", "-d"], cwd=str(here))

    def ours(target: str) -> None:
        timed([STACKCTL, "-C", str(here), "-q", "switch", target])

    client = Client(port)
    try:
        client.start()
        pairs: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            timed([STACKCTL, "-C", str(here), "-q", "up", "local"])
            switched = [
                _unserved(client, lambda: ours(f"http://localhost:{outside}")),
                _unserved(client, lambda: ours("local")),
            ]
            timed([STACKCTL, "-C", str(here), "-q", "detach"])
            manual = [_unserved(client, lambda: by_hand(away)), _unserved(client, lambda: by_hand(home))]
            (here / ".env").unlink()
            pairs += zip(switched, manual, strict=True)
        return pairs
    finally:
        client.stopped.set()
        subprocess.run([*plain, "down", "-t", "0", "-v"], capture_output=True, check=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
