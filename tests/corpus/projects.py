"""The corpus as test input: temporary copies that Compose can read, and the truth in ``meta.json``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
_UNSET = re.compile(r"required variable ([A-Za-z_][A-Za-z0-9_]*) is missing")
_ENV_FILE = re.compile(r"env file (\S+) not found")


@dataclass(frozen=True)
class FileSet:
    """One way to start one project: the files, and what is true of it."""

    project: str
    name: str
    files: tuple[str, ...]
    truth: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.project}[{self.name}]"

    @property
    def consumers(self) -> list[tuple[str, str, str | None]]:
        """The true settings: service, kind, and the name where there is one."""
        found = []
        for consumer in self.truth["consumers"]:
            kind, _, name = consumer["how"].partition(":")
            found.append((consumer["service"], kind, name or None))
        return list(dict.fromkeys(found))

    @property
    def ollama_services(self) -> list[str]:
        return list(self.truth["ollama_services"])


def file_sets() -> list[FileSet]:
    """Every file set of every project; none where the corpus is not there."""
    found = []
    for path in sorted(CORPUS.glob("*/meta.json")):
        meta = json.loads(path.read_text(encoding="utf-8"))
        for name, truth in meta["sets"].items():
            found.append(FileSet(path.parent.name, name, tuple(truth["files"]), truth))
    return found


@dataclass(frozen=True)
class Readable:
    """A copy of a project, and the environment with which Compose reads it.

    ``refused`` is Compose's reason where it reads the files only without its
    checks of consistency; ``error`` where it does not read them at all.
    """

    directory: Path
    files: tuple[str, ...]
    environment: dict[str, str]
    config: dict[str, Any]
    refused: str = ""
    error: str = ""


def dummy(name: str) -> str:
    """A value that fits a variable's name well enough for Compose to go on."""
    upper = name.upper()
    if "SUBNET" in upper:
        return "172.31.0.0"
    if upper.endswith("PORT"):
        return "11434" if "OLLAMA" in upper else "18080"
    if upper.endswith(("_IP", "ADDRESS")):
        return f"172.31.0.{10 + sum(map(ord, name)) % 200}"
    return "dummy"


def prepare(one: FileSet, directory: Path) -> Readable:
    """Copy the project, create the env files that it misses, give required variables a value, and resolve it."""
    copy = directory / one.project
    if not copy.exists():
        shutil.copytree(CORPUS / one.project, copy, ignore=shutil.ignore_patterns("meta.json"))
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG")}
    error = ""
    for _ in range(60):
        code, out, error = _resolve(copy, one.files, environment)
        if code == 0:
            return Readable(copy, one.files, environment, json.loads(out))
        if match := _ENV_FILE.search(error):
            path = Path(match[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        elif match := _UNSET.search(error):
            environment[match[1]] = dummy(match[1])
        elif not _dummies(copy, one.files, environment):
            break
    code, out, worse = _resolve(copy, one.files, environment, "--no-consistency")
    refused = "" if _resolve(copy, one.files, environment, profile="")[0] == 0 else _reason(error)
    if code == 0:
        return Readable(copy, one.files, environment, json.loads(out), refused)
    return Readable(copy, one.files, environment, {}, _reason(error), _reason(worse))


def prepare_all(sets: Sequence[FileSet], directory: Path) -> dict[str, Readable]:
    """Each file set prepared, by its id; those of one project share a copy, so a project is one job."""
    by_project: dict[str, list[FileSet]] = {}
    for one in sets:
        by_project.setdefault(one.project, []).append(one)
    with ThreadPoolExecutor(2) as pool:
        done = pool.map(lambda group: [(one.id, prepare(one, directory)) for one in group], by_project.values())
        return dict(pair for pairs in done for pair in pairs)


def _reason(text: str) -> str:
    return "\n".join(line for line in text.strip().splitlines() if "level=warning" not in line)


def _dummies(copy: Path, files: tuple[str, ...], environment: dict[str, str]) -> bool:
    """Give every variable without a default a value, once; whether there was any left."""
    added = False
    for file in files:
        text = re.sub(r"(?m)^\s*#.*$", "", (copy / file).read_text(encoding="utf-8"))
        for name in re.findall(r"(?<!\$)\$\{?([A-Za-z_][A-Za-z0-9_]*)(?![A-Za-z0-9_:?-])", text):
            if name not in environment:
                environment[name] = dummy(name)
                added = True
    return added


def _resolve(
    copy: Path, files: tuple[str, ...], environment: dict[str, str], *options: str, profile: str = "*"
) -> tuple[int, str, str]:
    chosen = [argument for file in files for argument in ("-f", file)]
    profiles = ["--profile", profile] if profile else []
    done = subprocess.run(
        ["docker", "compose", *chosen, *profiles, "config", *options, "--format", "json"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr
