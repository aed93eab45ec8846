"""One fault of the lab, as its file says it, and what it takes to make it real."""

from __future__ import annotations

import json
import os
import re
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from stackctl.diagnose.catalogue import entries
from tests.faults.lab.images import KINDS

HERE = Path(__file__).parents[1]
FILES = ("config", "names", "route", "listen", "tls", "http", "api", "life", "gpu")
KNOWN = {
    "id",
    "case",
    "consumer",
    "ollama",
    "services",
    "networks",
    "volumes",
    "dotenv",
    "files",
    "config",
    "make",
    "after",
    "symptom",
    "kinds",
    "finds",
    "fix",
    "also",
    "environment",
    "needs_config",
    "arguments",
    "profiles",
    "seconds",
    "engine",
    "severity",
    "up",
    "prefix",
    "whole",
    "first",
    "second",
}


@dataclass(frozen=True)
class Entry:
    """One declarative entry. ``finds`` is the cause expected first; ``fix`` whether ``--fix`` mends it."""

    id: str
    finds: str
    raw: dict[str, Any] = field(repr=False)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of consumer image that take part.

        All five for the faults of high frequency, and for every fault with
        ``FAULT_LAB=all``; otherwise those that the entry speaks of, and one
        more in turn, so that a whole run fits into the time of a test suite.
        ``FAULT_LAB=few`` leaves that one out, which suffices for scenes that are saved.
        """
        if "kinds" in self.raw:
            return tuple(self.raw["kinds"])
        known, wanted = entries().get(self.finds), os.environ.get("FAULT_LAB")
        if wanted == "all" or (wanted != "few" and known and known.frequency == "high"):
            return KINDS
        text = json.dumps(self.raw)
        spoken = {kind for kind in KINDS if re.search(rf"\b{kind}\b", text)}
        spoken |= {"debian"} if "in" not in (self.raw.get("symptom") or {"in": ""}) else set()
        rest = [kind for kind in KINDS if kind not in spoken]
        if wanted == "few":
            return tuple(kind for kind in KINDS if kind in spoken) or ("python",)
        spoken |= {rest[zlib.crc32(self.name.encode()) % len(rest)]} if rest else set()
        return tuple(kind for kind in KINDS if kind in spoken)

    @property
    def name(self) -> str:
        """For the test's id."""
        return f"{self.id}@{self.raw['case']}" if "case" in self.raw else self.id

    def get(self, key: str, default: Any = None) -> Any:
        """A field of the entry."""
        return self.raw.get(key, default)


def load(*files: str) -> list[Entry]:
    """Every entry of ``faults/FILE.yaml``, unknown keys refused."""
    found = []
    for name in files or FILES:
        path = HERE / "catalogue" / f"{name}.yaml"
        if not path.exists():
            continue
        for raw in yaml.safe_load(path.read_text()) or []:
            unknown = set(raw) - KNOWN
            assert not unknown, f"{path.name}: {raw.get('id')}: unknown {sorted(unknown)}"
            found.append(Entry(raw["id"], raw.get("finds", raw["id"]), raw))
    return found


def compose_text(entry: Entry, project: str) -> str:
    """The Compose file: one consumer of each kind, an Ollama where the entry has one, what else it asks for."""
    services: dict[str, Any] = {}
    common = {"init": True, "stop_grace_period": "0s", "labels": {"io.stackctl.test": "1"}}
    for kind in entry.kinds:
        command = ["/sleep", "100000"] if kind == "none" else ["sleep", "100000"]
        services[kind] = merge({"image": f"lab/{kind}", "command": command, **common}, entry.get("consumer") or {})
    if "ollama" in entry.raw and entry.raw["ollama"] is not None:
        services["ollama"] = merge(
            {
                "image": "ollama/ollama:0.33.0",
                "stop_grace_period": "0s",
                "labels": {"io.stackctl.test": "1"},
                "environment": {"OLLAMA_DOUBLE_MODELS": "qwen3:8b", "OLLAMA_DOUBLE_ADMIN": "1"},
            },
            entry.raw["ollama"],
        )
    for name, service in (entry.get("services") or {}).items():
        services[name] = merge({"stop_grace_period": "0s", "labels": {"io.stackctl.test": "1"}}, service)
    document: dict[str, Any] = {"name": project, "services": services}
    for key in ("networks", "volumes"):
        if entry.get(key):
            document[key] = entry.get(key)
    return yaml.safe_dump(document, sort_keys=False)


def merge(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """A deep merge of maps; everything else is replaced."""
    out = dict(base)
    for key, value in more.items():
        out[key] = merge(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out
