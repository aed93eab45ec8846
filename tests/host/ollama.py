"""An Ollama double on this machine, started from the checkout."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.host.lab import wait_for

DOUBLE = Path(__file__).parents[2] / "compose" / "images" / "ollama-double"


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 0.5):
            return True
    except OSError:
        return False


class Double:
    """A running double; ``ask`` talks to its own routes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10)

    def faults(self, **knobs: Any) -> None:
        self.client.put("/_double/faults", json=knobs).raise_for_status()

    def active(self) -> int:
        return int(self.client.get("/_double/state").json()["active"])


@contextmanager
def running_double(home: Path, **environment: str) -> Iterator[Double]:
    """A double on loopback with one chat model, ended whatever happens."""
    port = free_port()
    own = {
        "HOME": str(home),
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_DOUBLE_MODELS": "tiny-chat",
        "OLLAMA_DOUBLE_ADMIN": "1",
        **environment,
    }
    with (home / "double.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(DOUBLE / "ollama"), "serve"],
            env={**os.environ, **own},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        double = Double(port)
        try:
            wait_for(f"the double ({home}/double.log)", lambda: answers(port))
            yield double
        finally:
            double.client.close()
            process.terminate()
            process.wait(10)
