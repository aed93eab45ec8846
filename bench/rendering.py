"""Rendering: 400 services against 100, Compose apart."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.figures import Figure
from stackctl.config.models import StackConfig
from stackctl.config.target import resolve
from stackctl.project.compose import ComposeProject
from stackctl.project.facts import Facts
from stackctl.project.override import render


def _project(services: int) -> tuple[ComposeProject, StackConfig]:
    names = [f"service-{i}" for i in range(services)]
    raw = {
        name: {
            "image": "example/app:1",
            "environment": {"OLLAMA_URL": "http://ollama:11434", "OTHER": "x"},
            "depends_on": {"ollama": {"condition": "service_healthy", "required": True}},
            "networks": {"default": None},
        }
        for name in names
    }
    raw["ollama"] = {"image": "ollama/ollama:0.33.0", "networks": {"default": None}}
    config = StackConfig.model_validate(
        {
            "version": 1,
            "models": ["qwen3:8b"],
            "consumers": {n: {"env": {"OLLAMA_URL": "{url}", "MODEL": "{model}"}} for n in names},
            "instances": {"box": {"url": "http://cuda.local:11434", "address": "192.168.1.100"}},
        }
    )
    return ComposeProject.from_config({"name": "bench", "services": raw}, directory="/"), config


def _cost(services: int, target: str) -> float:
    project, config = _project(services)
    chosen = resolve(config, target)
    render(project, config, chosen, Facts())
    times = []
    for _ in range(15):
        begun = time.process_time()
        render(project, config, chosen, Facts())
        times.append(time.process_time() - begun)
    return min(times)


def run() -> Iterator[Figure]:
    """Processor time of the pure function, both kinds of target."""
    for target in ("local", "box"):
        small, large = _cost(100, target), _cost(400, target)
        detail = f"{large * 1000:.0f} ms against {small * 1000:.0f} ms"
        yield Figure(f"render {target}: 400 services / 100 services", large / small, 4.4, "x", detail)
