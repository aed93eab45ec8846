"""Other people's projects beside the lab's, with servers, volumes and names like its own: FAULT_LAB_CROWD=1.

Nothing of them has to do with a fault; a diagnosis that names one of them blames a stranger.
"""

from __future__ import annotations

import os
from typing import Any

import yaml

from tests.faults.lab.world import World, until

LABEL = "io.stackctl.test.crowd"
MODELS = "qwen3:8b,llama3.2:1b,tiny-chat,tiny-embed,nomic-embed-text"
PROJECTS: dict[str, dict[str, Any]] = {
    "labs": {"ollama": {"image": "ollama/ollama:0.33.0", "volumes": ["ollama:/root/.ollama"]}},
    "lab-old": {
        "ollama": {"image": "ollama/ollama:0.33.0", "volumes": ["ollama_data:/root/.ollama"]},
        "python": {"image": "lab/debian", "environment": {"OLLAMA_BASE_URL": "http://ollama:11434"}},
    },
    "chat": {
        "ollama": {"image": "ollama/ollama:0.33.0", "container_name": "chat-llm", "volumes": ["models:/root/.ollama"]},
        "debian": {"image": "lab/debian", "environment": {"OLLAMA_HOST": "ollama:11434"}},
    },
}
FORGOTTEN = ("shop_models", "notes_data")
"""Volumes that no container has."""


def is_wanted() -> bool:
    """Whether this run is to have one."""
    return os.environ.get("FAULT_LAB_CROWD") == "1"


def gather(world: World) -> None:
    """Bring the three projects up; they come back with the engine."""
    for project, services in PROJECTS.items():
        room = world.room / f"crowd-{project}"
        room.mkdir()
        (room / "compose.yaml").write_text(_text(project, services))
        world.docker("compose", "up", "-d", "--no-build", "--pull", "never", cwd=room)
    for name in FORGOTTEN:
        world.docker("volume", "create", "--label", f"{LABEL}=1", name)
    until(lambda: len(members(world)) == sum(map(len, PROJECTS.values())), "the crowd")


def members(world: World) -> list[str]:
    """The IDs of its containers."""
    return world.docker("ps", "-aq", "--no-trunc", "--filter", f"label={LABEL}=1", check=False).stdout.split()


def _text(project: str, services: dict[str, Any]) -> str:
    common = {"init": True, "restart": "unless-stopped", "stop_grace_period": "0s", "labels": {LABEL: "1"}}
    made = {}
    for name, service in services.items():
        more = (
            {"environment": {"OLLAMA_DOUBLE_MODELS": MODELS}} if name == "ollama" else {"command": ["sleep", "100000"]}
        )
        made[name] = {**common, **more, **service}
    volumes = {mount.partition(":")[0]: {} for s in services.values() for mount in s.get("volumes", [])}
    return yaml.safe_dump({"name": project, "services": made, "volumes": volumes})
