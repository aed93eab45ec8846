"""The projects of ``projects.yaml`` times the targets times the GPUs, each rendered to one text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stackctl.config.models import StackConfig
from stackctl.config.target import Target, resolve
from stackctl.errors import StackctlError
from stackctl.project.compose import ComposeProject
from stackctl.project.facts import Facts, Gpu
from stackctl.project.override import OverrideFile, render

HERE = Path(__file__).parent
PROJECTS: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "projects.yaml").read_text())
CONSUMER = {
    "OLLAMA_URL": "{url}", "OPENAI_API_BASE_URL": "{url}/v1", "OLLAMA_HOST": "{host}:{port}", "SCHEME": "{scheme}",
    "MODEL": "{model}", "OLLAMA_API_KEY": "{token}",
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "version": 1,
    "consumers": {"backend": {"env": CONSUMER}},
    "models": ["qwen3:8b"],
    "instances": {
        "by-address": {"url": "http://10.0.0.5:11434"},
        "by-name": {"url": "http://gpu.example:11434", "address": "192.168.1.100", "models": ["qwen3:32b"]},
        "by-plain-name": {"url": "http://gpu.example:11434"},
        "on-the-host": {"url": "http://localhost:11434"},
        "mdns": {"url": "http://cuda.local:11434"},
        "with-token": {"url": "https://ollama.example.com/api-gate", "auth": {"bearer": "${BOX_TOKEN}"}},
        "with-token-file": {"url": "https://[fd00::5]:8443", "auth": {"bearer": "${file:/run/secrets/token}"}},
    },
}
PINS = {"mdns": {"cuda.local": "192.168.1.77"}}
GPUS = {
    "none": Gpu("none"),
    "keep": Gpu("keep"),
    "nvidia": Gpu("nvidia", "all"),
    "nvidia one": Gpu("nvidia", 1),
    "nvidia by id": Gpu("nvidia", None, ("0", "GPU-2")),
    "cdi": Gpu("cdi", device_ids=("nvidia.com/gpu=all",)),
    "amd": Gpu("amd", groups=("44", "992")),
}
IMAGE = "ollama/ollama:0.33.0"


@dataclass(frozen=True)
class Case:
    """One rendering; ``title`` names it in the golden file."""

    title: str
    config: StackConfig
    target: Target
    facts: Facts

    def render(self, project: ComposeProject) -> OverrideFile:
        """The override; raises what the renderer raises."""
        return render(project, self.config, self.target, self.facts, lambda path: "/".join(map(str, path)))

    def text(self, project: ComposeProject) -> str:
        """The override with what goes beside it, or the refusal."""
        try:
            made = self.render(project)
        except StackctlError as error:
            return f"refused ({error.code}) at {error.where}: {error.message}\n  {error.hint}\n"
        notes = [f"# off: {', '.join(made.off)}"] if made.off else []
        notes += [f"# network: {made.needs_network}"] if made.needs_network else []
        notes += [f"# told: {name} {url}" for name, url in made.told.items()]
        notes += [f"# warning: {warning}" for warning in made.warnings]
        # The two lines of the header are the same in all of them.
        return "\n".join(notes) + "\n" + made.text.split("\n", 2)[2]


def source(name: str) -> dict[str, Any]:
    """The Compose document of a project."""
    return {"name": name, **{k: v for k, v in PROJECTS[name].items() if k != "config"}}


def resolved(name: str) -> ComposeProject:
    """The project as Compose resolved it (``test_with_compose.py`` holds the stored text to the real one)."""
    return as_project(json.loads((HERE / "resolved" / f"{name}.json").read_text()))


def as_project(document: Mapping[str, Any]) -> ComposeProject:
    """The project of a resolved document, no profile active."""
    active = frozenset(n for n, s in document["services"].items() if not s.get("profiles"))
    return ComposeProject.from_config(document, directory="/project", active=active)


def cases(name: str) -> Iterator[Case]:
    """Local with every GPU, then each external target."""
    config = StackConfig.model_validate({**CONFIG, **PROJECTS[name].get("config", {})})
    for title, gpu in GPUS.items():
        yield Case(f"local, gpu {title}", config, resolve(config, "local"), Facts(gpu=gpu, default_image=IMAGE))
    for profile in config.instances:
        target = resolve(config, profile).with_pins(PINS.get(profile, {}))
        yield Case(profile, config, target, Facts(default_image=IMAGE))


def golden(name: str) -> str:
    """Everything of one project, one text after the other; equal ones are named together."""
    project = resolved(name)
    texts: dict[str, list[str]] = {}
    for case in cases(name):
        texts.setdefault(case.text(project), []).append(case.title)
    return "".join(f"===== {' | '.join(titles)}\n{text}\n" for text, titles in texts.items())
