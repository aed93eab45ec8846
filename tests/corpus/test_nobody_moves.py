"""Every project of the corpus, adopted: a plain ``up`` tells each consumer an address of the server that it had."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackctl.config import loading
from stackctl.config.target import resolve
from stackctl.project.compose import ComposeProject
from stackctl.project.discovery.config_text import Choices, default_name, render_config
from stackctl.project.discovery.landscape import survey
from stackctl.project.discovery.source import Source
from stackctl.project.discovery.staying import local_of, settled
from stackctl.project.discovery.variables import judge
from stackctl.project.facts import Facts
from stackctl.project.override import render
from tests.corpus.measure import DiskReader, findings_of
from tests.corpus.projects import CORPUS, FileSet, Readable, file_sets
from tests.corpus.renders import run

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus is not there: {CORPUS}")


def asked(readable: Readable, config: Mapping[str, Any]) -> dict[tuple[str, str], list[str]]:
    """Service and variable to the servers that its address leads to, in a project as Compose resolves it."""
    project = ComposeProject.from_config(config, directory=str(readable.directory))
    files = tuple(str(readable.directory / f) for f in readable.files)
    source = Source(project, files, DiskReader(), str(readable.directory), readable.environment)
    found = findings_of(replace(readable, config=dict(config)))
    land = survey(source, found.ollama_services)
    servers = {}
    for service in project:
        for name, value in service.environment.items():
            verdict = judge(name, value, land, own=service.name)
            if verdict is not None and (here := list(dict.fromkeys(s.server for s in verdict.spots if s.server))):
                servers[service.name, name] = here
    return servers


def adopted(readable: Readable) -> str:
    """The override of a plain ``up`` after ``init --yes``."""
    found = findings_of(readable)
    local = local_of(found)
    found = settled(found, local)
    text = render_config(found, Choices(local=local, default=default_name(found, local)))
    config = loading.load(loading.read_tree(text.encode(), "stackctl.yaml"), "stackctl.yaml", {})
    project = ComposeProject.from_config(readable.config, directory=str(readable.directory))
    active = frozenset(s.name for s in project if not s.profiles)
    project = ComposeProject.from_config(readable.config, directory=str(readable.directory), active=active)
    return render(project, config, resolve(config, config.default or "local"), Facts()).text


def moved(one: FileSet, readable: Readable, scratch: Path) -> tuple[int, list[str]]:
    """How many addresses of consumers there are, and those that lead elsewhere afterwards."""
    copy = scratch / one.id.replace("[", "_").strip("]")
    shutil.copytree(readable.directory, copy)
    here = replace(readable, directory=copy, config=resolved(readable, copy, None))
    override = copy / "override.yaml"
    override.write_text(adopted(here), encoding="utf-8")
    before, after = asked(here, here.config), asked(here, resolved(readable, copy, override))
    wrong = [f"{one.id} {p}: asked {s}, then {after.get(p)}" for p, s in before.items() if after.get(p) != s]
    return len(before), wrong


def resolved(readable: Readable, directory: Path, override: Path | None) -> dict[str, Any]:
    files = [a for f in (*readable.files, *([str(override)] if override else [])) for a in ("-f", f)]
    argv = ["docker", "compose", *files, "--profile", "*", "config", "--no-consistency", "--format", "json"]
    done = run(argv, replace(readable, directory=directory))
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_up_after_init_moves_nobody(prepared: dict[str, Readable], tmp_path: Path) -> None:
    found = [
        moved(one, prepared[one.id], tmp_path)
        for one in file_sets()
        if not (prepared[one.id].refused or prepared[one.id].error)
    ]
    assert sum(count for count, _ in found) >= 80
    assert [line for _, wrong in found for line in wrong] == []
