"""Every golden override, merged by the real Compose: taken, and changing nothing but what it must."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackctl.errors import StackctlError
from tests.golden.matrix import HERE, PROJECTS, as_project, cases, resolved, source
from tests.support.cli import environment

pytestmark = pytest.mark.engine
OURS = {"environment", "extra_hosts", "depends_on", "networks", "links"}
"""Keys of a service that is told which Ollama to use, or that waited for one."""


def compose(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["docker", "compose", "--project-directory", str(directory), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment({"BOX_TOKEN": "t", "STACKCTL_TOKEN_WITH_TOKEN_FILE": "t"}),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def config(directory: Path, *files: str, profiles: tuple[str, ...] = ()) -> dict[str, Any]:
    flags = [part for file in files for part in ("--file", str(directory / file))]
    flags += [part for profile in profiles for part in ("--profile", profile)]
    found: dict[str, Any] = json.loads(compose(directory, *flags, "config", "--format", "json"))
    return found


@pytest.fixture
def written(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(source(request.node.callspec.params["name"])))
    return tmp_path


@pytest.mark.parametrize("name", PROJECTS)
def test_what_compose_resolves_is_what_the_golden_texts_stand_on(name: str, written: Path) -> None:
    file = HERE / "resolved" / f"{name}.json"
    found = config(written, "compose.yaml", profiles=("*",))
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(json.dumps(found, indent=1) + "\n")
    assert as_project(found) == resolved(name)


@pytest.mark.parametrize("name", PROJECTS)
def test_compose_takes_it_and_changes_only_what_it_must(name: str, written: Path) -> None:
    plain = config(written, "compose.yaml")
    everything = config(written, "compose.yaml", profiles=("*",))
    project = resolved(name)
    seen: set[str] = set()
    for case in cases(name):
        if not worth_a_process(name, case.title):
            continue
        try:
            made = case.render(project)
        except StackctlError:
            continue
        if made.text in seen:
            continue
        seen.add(made.text)
        (written / "override.yaml").write_text(made.text)
        merged = config(written, "compose.yaml", "override.yaml")
        said = yaml.load(made.text, Loader=Reader) or {}
        local = case.config.local.service
        concerned = set(said.get("services") or {})
        for service, before in plain["services"].items():
            if service in made.off:
                assert service not in merged["services"]
                continue
            after = merged["services"][service]
            if service not in concerned:
                assert after == before
            elif service != local:
                assert {k for k in {**before, **after} if before.get(k) != after.get(k)} <= OURS
                assert_consumer(before, after, set(made.off), case.config.consumers)
        added = set(merged["services"]) - set(plain["services"])
        assert added <= ({local} if case.target.needs_local else set())
        for service in merged["services"].values():
            assert not set(service.get("depends_on") or {}) & set(made.off)
        # With every profile on, the same override still fits (`stackctl compose -- --profile`).
        if any(s.get("profiles") for s in everything["services"].values()):
            config(written, "compose.yaml", "override.yaml", profiles=("ai", "web"))


def worth_a_process(name: str, title: str) -> bool:
    """Every GPU where the project says something of one or has no server at all; one target of each shape."""
    if title.startswith("local"):
        return title == "local, gpu none" or name.startswith("gpu-") or name == "no-own-service"
    return title in ("by-name", "on-the-host", "with-token-file")


def assert_consumer(before: dict[str, Any], after: dict[str, Any], off: set[str], consumers: Any) -> None:
    """Variables are the templates' and the user's own; nothing that was pinned or joined is lost."""
    templates = {variable for consumer in consumers.values() for variable in consumer.env}
    old, new = before.get("environment") or {}, after.get("environment") or {}
    assert {k: v for k, v in new.items() if k not in templates} == {k: v for k, v in old.items() if k not in templates}
    kept = {h.split("=")[0] for h in before.get("extra_hosts") or []}
    assert kept <= {h.split("=")[0] for h in after.get("extra_hosts") or []}
    assert set(before.get("networks") or {}) <= set(after.get("networks") or {})
    assert set(before.get("depends_on") or {}) - off == set(after.get("depends_on") or {})


class Reader(yaml.SafeLoader):
    """Reads Compose's own tags as what stands behind them."""


def _plain(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return None


Reader.add_multi_constructor("!", _plain)


@pytest.mark.parametrize("name", ["list-edges", "several-networks", "hosts-that-differ"])
def test_services_that_it_leaves_alone_keep_their_hash(name: str, written: Path) -> None:
    def hashes(*files: str) -> dict[str, str]:
        flags = [part for file in files for part in ("--file", str(written / file))]
        return dict(line.split(" ") for line in compose(written, *flags, "config", "--hash", "*").splitlines())

    before, project = hashes("compose.yaml"), resolved(name)
    for case in cases(name):
        if not worth_a_process(name, case.title):
            continue
        made = case.render(project)
        (written / "override.yaml").write_text(made.text)
        after = hashes("compose.yaml", "override.yaml")
        concerned = set((yaml.load(made.text, Loader=Reader) or {}).get("services") or {})
        for service in set(before) - concerned:
            assert after[service] == before[service]
