"""``render --merged`` of the repository's own stack: valid, and different from the plain project where it must be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cli import ROOT, run_here
from tests.support.project import docker


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """The repository's stack without its images."""
    shutil.copy(ROOT / "stackctl.yaml", tmp_path)
    shutil.copytree(ROOT / "env", tmp_path / "env")
    (tmp_path / "compose").mkdir()
    for file in (ROOT / "compose").glob("*.yml"):
        shutil.copy(file, tmp_path / "compose")
    return tmp_path


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every leaf by its path."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}/{key}").items()} or {path: {}}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{path}/{i}").items()} or {path: []}
    return {path: value}


@pytest.mark.parametrize("env", ["dev", "prod"])
@pytest.mark.parametrize("target", ["local", "host", "http://10.0.0.5:11434"])
def test_the_difference_is_what_it_must_be(env: str, target: str, reference: Path) -> None:
    files = ["compose/docker-compose.yml", f"compose/docker-compose.{env}.yml"]
    flags = [part for file in files for part in ("--file", str(reference / file))]
    directory = str(reference / "compose")
    env_file = str(reference / f"env/{env}.env")
    plain = yaml.safe_load(
        docker("compose", "--project-directory", directory, *flags, "--env-file", env_file, "config")
    )
    ran = run_here("-C", reference, "--env", env, "render", target, "--merged").ok()
    merged = yaml.safe_load(ran.out)
    before, after = flat(plain), flat(merged)
    none = object()
    changed = {path for path in {**before, **after} if before.get(path, none) != after.get(path, none)}
    backend = "/services/backend"
    if target == "local":
        added = {p for p in changed if p.startswith(("/services/ollama/", "/volumes/ollama_data/"))}
        assert after["/services/ollama/image"].startswith(
            "stackctl.local/ollama-double" if env == "dev" else "ollama/ollama:"
        )
        assert "/services/ollama/ports/0/published" not in after
        assert changed == added
    else:
        added = {f"{backend}/environment/OLLAMA_URL"}
        added |= {f"{backend}/extra_hosts/0"} if target == "host" else set()
        assert changed == added
        assert "ollama" not in merged["services"]
    assert sorted(p.name for p in reference.iterdir()) == ["compose", "env", "stackctl.yaml"]


def test_the_override_alone_and_as_json(reference: Path) -> None:
    text = run_here("-C", reference, "render", "host").ok().out
    assert text.startswith("# Written by stackctl")
    document = run_here("-C", reference, "render", "host", "--json").ok().json
    assert document["schema"] == "stackctl.render/1"
    assert document["override"] == text
    assert document["profile"] == "host"
