"""Small projects of our own, resolved by the real Compose; no engine is asked. `LAN` is the machine's address."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from stackctl.project.compose import ComposeProject
from stackctl.project.discovery.discover import discover
from stackctl.project.discovery.findings import Findings
from stackctl.project.discovery.source import Source, Texts

Find = Callable[..., Findings]
LAN = "192.0.2.7"
SERVER = """
  ollama:
    image: ollama/ollama:0.33.0
    volumes: [models:/root/.ollama]
"""
TAIL = """
volumes: {models: {}}
"""


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """``find(compose)`` or ``find(compose, {"other/file": text}, files=[…], variables={…})``."""

    def run(
        compose: str,
        others: Mapping[str, str] | None = None,
        *,
        files: Sequence[str] = ("compose.yaml",),
        variables: Mapping[str, str] | None = None,
        server: bool = False,
    ) -> Findings:
        text = dedent(compose)
        if server:
            text = "services:\n" + SERVER.strip("\n") + "\n" + text.split("services:\n", 1)[1].rstrip("\n") + TAIL
        texts = {"compose.yaml": text, **{name: dedent(t) for name, t in (others or {}).items()}}
        for name, content in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        environment = {**{k: os.environ[k] for k in ("PATH", "HOME") if k in os.environ}, **(variables or {})}
        done = subprocess.run(
            [
                "docker",
                "compose",
                *(a for f in files for a in ("-f", f)),
                "--profile",
                "*",
                "config",
                "--format",
                "json",
            ],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        config = json.loads(done.stdout)
        active = frozenset(n for n, s in config["services"].items() if not s.get("profiles"))
        project = ComposeProject.from_config(config, directory=str(tmp_path), active=active)
        reader = Texts({str(tmp_path / name): content for name, content in texts.items()})
        paths = tuple(str(tmp_path / f) for f in files)
        return discover(Source(project, paths, reader, str(tmp_path), environment, lambda host: host == LAN))

    return run


def told(findings: Findings) -> dict[str, dict[str, str | None]]:
    """Service to ``kind:name`` to template."""
    return {c.service: {f"{s.kind}:{s.name or ''}": s.template for s in c.settings} for c in findings.consumers}


def servers(findings: Findings) -> list[str]:
    return [s.service for s in findings.ollama_services]
