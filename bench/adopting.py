"""``stackctl init`` beside ``docker compose config`` on a project of 100 services."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.figures import Figure, ratio, timed

STACKCTL = str(Path(sys.executable).with_name("stackctl"))
SERVICES = 100


def _service(number: int) -> dict[str, Any]:
    """What a service of a real project has; every tenth one is told of Ollama."""
    told = {"OLLAMA_BASE_URL": "${OLLAMA_URL:-http://ollama:11434}"} if number % 10 == 0 else {}
    return {
        "image": f"example/app{number % 7}:1.{number}",
        "restart": "unless-stopped",
        "environment": {"DATABASE_URL": f"postgres://user@db{number}:5432/app", "LOG_LEVEL": "info", **told},
        "ports": [f"127.0.0.1:{20000 + number}:8080"],
        "volumes": [f"data{number}:/data"],
        "healthcheck": {"test": ["CMD", "curl", "-f", "http://localhost:8080/health"], "interval": "10s"},
        "depends_on": {"ollama": {"condition": "service_started"}} if told else [],
    }


def run() -> Iterator[Figure]:
    """The whole of ``init``, Compose's own reading of the project included."""
    services = {f"service{n}": _service(n) for n in range(SERVICES - 1)}
    services["ollama"] = {"image": "ollama/ollama:0.33.0", "volumes": ["models:/root/.ollama"]}
    volumes: dict[str, dict[str, str]] = {"models": {}, **{f"data{n}": {} for n in range(SERVICES - 1)}}
    with tempfile.TemporaryDirectory(prefix="stackctl-bench-") as directory:
        (Path(directory) / "compose.yaml").write_text(yaml.safe_dump({"services": services, "volumes": volumes}))
        yield ratio(
            f"init of {SERVICES} services / docker compose config",
            lambda: timed([STACKCTL, "-C", directory, "init", "--yes", "--dry-run"]),
            lambda: timed(["docker", "compose", "config"], cwd=directory),
            2.0,
        )
