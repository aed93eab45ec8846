"""For every file set: is the override of each target read by Compose, and does it leave alone what it can?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from typing import Any

import yaml

from tests.corpus.projects import FileSet, Readable, file_sets, prepare_all
from tests.support.inprocess import Worker

TARGETS = ("local", "http://10.9.8.7:11434")


class _Loader(yaml.SafeLoader):
    """YAML with Compose's tags taken for what they stand on."""


_Loader.add_multi_constructor(
    "!",
    lambda loader, _tag, node: (
        loader.construct_mapping(node)
        if isinstance(node, yaml.MappingNode)
        else loader.construct_sequence(node)
        if isinstance(node, yaml.SequenceNode)
        else None
    ),
)


@dataclass
class Rendered:
    """What became of one file set and one target; ``problems`` is empty where all is well."""

    id: str
    target: str
    problems: list[str] = field(default_factory=list)
    kept: int = 0
    touched: dict[str, list[str]] = field(default_factory=dict)
    servers: set[str] = field(default_factory=set)


def run(argv: list[str], readable: Readable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=readable.directory,
        env=readable.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def compose(readable: Readable, *arguments: str, override: Path | None = None, profile: str = "") -> Any:
    files = [*readable.files, *([str(override)] if override else [])]
    argv = ["docker", "compose", *(a for f in files for a in ("-f", f)), *(["--profile", profile] if profile else [])]
    return run([*argv, *arguments], readable)


def hashes(readable: Readable, override: Path | None = None, profile: str = "") -> dict[str, str] | str:
    """Service to hash; Compose's words where it refuses."""
    done = compose(readable, "config", "--hash", "*", override=override, profile=profile)
    if done.returncode:
        return "\n".join(line for line in done.stderr.splitlines() if "level=warning" not in line)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def check(one: FileSet, original: Readable, directory: Path, worker: Worker) -> list[Rendered]:
    """Adopt a copy of the project, render both targets, and ask Compose."""
    if original.refused or original.error:
        return []
    copy = directory / one.id.replace("[", "_").strip("]")
    shutil.copytree(original.directory, copy)
    readable = replace(original, directory=copy)
    unset: dict[str, str | None] = dict.fromkeys(os.environ.keys() - readable.environment.keys())

    def stackctl(*arguments: str) -> dict[str, Any]:
        return worker.run(["-C", str(copy), "--config", config, *arguments], {**unset, **readable.environment})

    chosen = [a for f in one.files for a in ("-f", f)]
    config = f"stackctl-{one.name}.yaml"
    adopted = stackctl("--json", "init", "--yes", *chosen)
    results = []
    untouched = {profile: hashes(readable, None, profile) for profile in ("", "*")}
    for target in TARGETS:
        result = Rendered(one.id, target)
        results.append(result)
        if adopted["code"]:
            result.problems.append(f"init: {adopted['err']}")
            continue
        document = json.loads(adopted["out"])
        result.servers = {s["service"] for s in document["ollama_services"]} | {"ollama"}
        result.servers |= {c["service"] for c in document["consumers"] if c["role"] == "model-pull"}
        result.servers |= {h["service"] for h in document["helpers"]}
        done = stackctl("render", target)
        if done["code"]:
            result.problems.append(f"render: {done['err'].strip()}")
            continue
        override = readable.directory / f"override-{one.name}.yaml"
        override.write_text(done["out"], encoding="utf-8")
        document = yaml.load(done["out"], Loader=_Loader) or {}
        result.touched = {name: list(said or {}) for name, said in (document.get("services") or {}).items()}
        for profile, before in untouched.items():
            if isinstance(before, str):
                continue
            after = hashes(readable, override, profile)
            if isinstance(after, str):
                result.problems.append(f"profile {profile or 'none'}: {after}")
                continue
            for name, digest in before.items():
                if name in after and name not in result.touched and after[name] != digest:
                    result.problems.append(f"{name}: hash changed although the override does not name it")
                result.kept += after.get(name) == digest
        result.problems += loose_ends(readable, override)
    return results


def loose_ends(readable: Readable, override: Path) -> list[str]:
    """Edges of the merged project, as it would come up, that lead to a service that is not there."""
    done = compose(readable, "config", "--format", "json", override=override)
    if done.returncode:
        return []
    services = (yaml.safe_load(done.stdout) or {}).get("services") or {}
    return [
        f"{name} depends on {other}, which is off"
        for name, service in services.items()
        for other, edge in (service.get("depends_on") or {}).items()
        if other not in services and edge.get("required", True)
    ]


def check_all(prepared: Mapping[str, Readable], directory: Path) -> list[Rendered]:
    """All file sets, two at a time, each time in one of two processes."""
    workers: Queue[Worker] = Queue()
    both = [Worker({**os.environ, "COLUMNS": "200"}) for _ in range(2)]
    for worker in both:
        workers.put(worker)

    def one_by_one(one: FileSet) -> list[Rendered]:
        worker = workers.get()
        try:
            return check(one, prepared[one.id], directory, worker)
        finally:
            workers.put(worker)

    try:
        with ThreadPoolExecutor(2) as pool:
            return [r for results in pool.map(one_by_one, file_sets()) for r in results]
    finally:
        for worker in both:
            worker.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        everything = check_all(prepare_all(file_sets(), Path(scratch) / "prepared"), Path(scratch))
    bad = [r for r in everything if r.problems]
    for entry in bad:
        sys.stdout.write(f"{entry.id} {entry.target}\n" + "".join(f"    {p}\n" for p in entry.problems))
    sys.stdout.write(
        f"renders {len(everything)}, with problems {len(bad)}, hashes kept {sum(r.kept for r in everything)}\n"
    )
