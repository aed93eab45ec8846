"""``init`` over real files and the real Compose; no engine is asked."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from stackctl.config import loading
from tests.support.cli import ROOT, Ran, environment, run_here

COMPOSE = """\
name: shop
services:
  ollama:
    image: ollama/ollama:0.33.0
    volumes: [models:/root/.ollama]
  api:
    image: example/api
    environment:
      - OLLAMA_BASE_URL=${OLLAMA_URL:-http://ollama:11434}/v1
      - OPENAI_BASE_URL=${OPENAI_BASE_URL}
    depends_on: [ollama]
  ui:
    image: ghcr.io/open-webui/open-webui:main
    environment: {OLLAMA_BASE_URL: "http://host.docker.internal:11434"}
  fetch:
    image: ollama/ollama:0.33.0
    environment: [OLLAMA_HOST=ollama:11434]
    command: pull qwen3:8b
    restart: "no"
    depends_on: [ollama]
  proxy:
    image: ghcr.io/berriai/litellm:main
    volumes: ["./litellm.yaml:/app/config.yaml"]
volumes: {models: {}}
"""
WRITTEN = """\
# stackctl.yaml: which services use Ollama here, and how each is told.
# Written by `stackctl init` and yours from now on; it changed no other file.
version: 1

# The services that use Ollama. {url} is the active one; also {scheme} {host} {port} {model} {token}.
consumers:
  api:
    env:
      OLLAMA_BASE_URL: "{url}/v1"    # compose.yaml:9: today http://ollama:11434/v1
    # left as it is: env OPENAI_BASE_URL (compose.yaml:10): empty today, so it means OpenAI itself; \
write it as `{url}/v1` to send that to Ollama too
  proxy:    # today http://ollama:11434; it stands in a mounted file; change litellm.yaml:1, or give the app a variable
    fixed: "litellm.yaml:1"
    # with `gateway: true`, write `proxy: {}`: the gateway takes over the name `ollama`

# These use Ollama too, and are left as they are:
#   ui (Open WebUI): it uses http://host.docker.internal:11434 today, and `local` is ollama: left as it is, so that \
adoption moves nobody
#     Open WebUI: its database keeps the connections of the first start, and later changes of the environment are \
ignored
#     set it in Admin Panel > Settings > Connections > Ollama API, or let the gateway take over the name that it keeps
# Only pull models, and go off together with the project's own Ollama: fetch

# What the project asks for or pulls; a target must have it. {model} stands for the first.
models: ["qwen3:8b"]

# The project's own Ollama: its image, volume and GPU stay as its Compose file says.
# compose.yaml:4: image ollama/ollama:0.33.0; volume models:/root/.ollama; GPU none; no healthcheck; no published port
local:
  service: ollama

# Ollama servers elsewhere; each is a profile: `stackctl switch NAME`.
instances:
  host: {url: "http://host.docker.internal:11434"}    # used today by ui

# What a plain `stackctl up` means before any switch: what is in use today.
default: local
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "litellm.yaml").write_text("api_base: http://ollama:11434\n")
    return tmp_path


def init(project: Path, *arguments: str) -> Ran:
    return run_here("-C", project, "init", *arguments)


def test_it_writes_one_file_and_this_is_it(project: Path) -> None:
    before = sorted(p.name for p in project.iterdir())
    init(project).ok()
    assert (project / "stackctl.yaml").read_text() == WRITTEN
    assert sorted(p.name for p in project.iterdir()) == sorted([*before, "stackctl.yaml"])


def test_what_it_writes_is_valid_and_the_same_each_time(project: Path) -> None:
    init(project).ok()
    first = (project / "stackctl.yaml").read_bytes()
    config = loading.load(loading.read_tree(first, "stackctl.yaml"), "stackctl.yaml", {})
    assert set(config.consumers) == {"api", "proxy"}
    assert config.consumers["proxy"].fixed == "litellm.yaml:1"
    (project / "stackctl.yaml").unlink()
    init(project, "--yes").ok()
    assert (project / "stackctl.yaml").read_bytes() == first


def test_a_dry_run_writes_nothing_and_shows_all(project: Path) -> None:
    ran = init(project, "--dry-run").ok()
    assert not (project / "stackctl.yaml").exists()
    assert WRITTEN in ran.out


def test_the_document_of_the_contract(project: Path) -> None:
    document = init(project, "--json", "--dry-run").ok().json
    assert list(document)[:2] == ["schema", "project"]
    assert (document["schema"], document["project"], document["config"]) == ("stackctl.init/1", "shop", WRITTEN)
    assert [(s["service"], s["image"], s["evidence"]) for s in document["ollama_services"]] == [
        ("ollama", "ollama/ollama:0.33.0", "compose.yaml:4"),
    ]
    consumers = {c["service"]: c for c in document["consumers"]}
    assert {n: (c["role"], c["switchable"], c["reason"] is None) for n, c in consumers.items()} == {
        "api": ("app", True, True),
        "fetch": ("model-pull", True, True),
        "proxy": ("gateway", False, False),
        "ui": ("app", False, False),
    }
    assert consumers["api"]["settings"][0] == {
        "kind": "env",
        "name": "OLLAMA_BASE_URL",
        "value": "http://ollama:11434/v1",
        "template": "{url}/v1",
        "evidence": "compose.yaml:9",
    }
    assert any("OPENAI_BASE_URL" in line for line in document["ambiguous"])


def test_a_second_one_changes_nothing(project: Path) -> None:
    init(project).ok()
    before = (project / "stackctl.yaml").stat().st_mtime_ns
    ran = init(project).ok()
    assert "says the same; nothing was changed" in ran.out
    assert (project / "stackctl.yaml").stat().st_mtime_ns == before


def test_a_second_one_shows_what_differs(project: Path) -> None:
    init(project).ok()
    path = project / "stackctl.yaml"
    mine = path.read_text().replace('OLLAMA_BASE_URL: "{url}/v1"', 'OLLAMA_BASE_URL: "{url}"')
    path.write_text(mine.replace("  service: ollama", "  service: brain"))
    (project / "compose.yaml").write_text(
        COMPOSE.replace("  proxy:", "  bot:\n    image: b\n    environment: [OLLAMA_HOST=ollama]\n  proxy:")
    )
    before = path.read_bytes()
    document = init(project, "--json").ok().json
    assert document["written"] is False
    assert document["differences"] == [
        "api: OLLAMA_BASE_URL: the file says {url}, found {url}/v1",
        "bot uses Ollama (compose.yaml:23) and is not in the file",
        "local: the file means the service brain; found: ollama",
    ]
    assert path.read_bytes() == before


def test_named_files_are_written_down_and_used_again(tmp_path: Path) -> None:
    (tmp_path / "stack.yml").write_text("services:\n  app:\n    image: x\n    environment: {OLLAMA_URL: ''}\n")
    (tmp_path / "more.yml").write_text("services:\n  app:\n    environment: {OLLAMA_URL: 'http://10.0.0.9:11434'}\n")
    init(tmp_path, "-f", "stack.yml", "--file=more.yml").ok()
    assert 'files: ["stack.yml", "more.yml"]' in (tmp_path / "stackctl.yaml").read_text()
    assert "http://10.0.0.9:11434" in (tmp_path / "stackctl.yaml").read_text()
    assert "says the same" in init(tmp_path).ok().out


REFUSED = {
    "yaml": ("services:\n  a:\n    image: x\n   b: 1\n", "compose.yaml:4", "yaml"),
    "unknown key": (
        "services:\n  a:\n    image: x\n    imag: y\n",
        "compose.yaml:4",
        "additional properties 'imag' not allowed",
    ),
    "null environment": (
        "services:\n  a:\n    image: x\n    environment:\n",
        "compose.yaml:",
        "environment must be a mapping",
    ),
    "undefined volume": (
        "services:\n  a:\n    image: x\n    volumes:\n      - vol:/x\n",
        "compose.yaml:5",
        "undefined volume vol",
    ),
    "missing include": ("include:\n  - nope.yml\nservices: {}\n", "compose.yaml:2", "nope.yml: no such file"),
    "missing env file": (
        "services:\n  a:\n    image: x\n    env_file: nope.env\n",
        "compose.yaml:4",
        "nope.env not found",
    ),
    "required variable": ("services:\n  a:\n    image: ${A:?set A}\n", "compose.yaml:3", "set A"),
}


@pytest.mark.parametrize(("text", "where", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_compose_cannot_read_ends_with_its_reason_and_place(
    tmp_path: Path, text: str, where: str, reason: str
) -> None:
    (tmp_path / "compose.yaml").write_text(text)
    document = init(tmp_path, "--json").ended(2).json
    assert document["error"] == "ComposeFileError"
    assert reason in document["message"]
    assert document["where"].startswith(where)
    assert not (tmp_path / "stackctl.yaml").exists()


def test_no_compose_file_at_all(tmp_path: Path) -> None:
    ran = init(tmp_path).ended(2)
    assert "no Compose file in" in ran.err
    assert "no such Compose file: nope.yml" in init(tmp_path, "-f", "nope.yml").ended(2).err


def test_a_broken_file_of_ours_is_not_written_over(project: Path) -> None:
    (project / "stackctl.yaml").write_text("consumers: [\n")
    ran = init(project).ended(2)
    assert "cannot be read" in ran.err
    assert (project / "stackctl.yaml").read_text() == "consumers: [\n"


def test_services_of_profiles_that_clash_are_found_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("""\
services:
  db: {image: postgres}
  cpu: {image: ollama/ollama, profiles: [cpu], container_name: ollama}
  gpu: {image: ollama/ollama, profiles: [gpu], container_name: ollama, networks: [nowhere]}
  app: {image: x, profiles: [cpu], environment: {OLLAMA_HOST: ollama}}
""")
    document = init(tmp_path, "--json").ok().json
    assert [s["service"] for s in document["ollama_services"]] == ["cpu", "gpu"]
    assert [c["service"] for c in document["consumers"]] == ["app"]


def test_it_asks_in_a_terminal(project: Path) -> None:
    """One question here: the empty OpenAI variable, and yes this time."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "stackctl", "-C", str(project), "init"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**environment(), "PYTHONPATH": str(ROOT)},
    )
    os.close(theirs)
    heard = b""
    for answer in (b"y\n",):
        while not heard.endswith(b"] "):
            heard += os.read(ours, 4096)
        os.write(ours, answer)
        heard = b""
    process.communicate(timeout=60)
    os.close(ours)
    text = (project / "stackctl.yaml").read_text()
    assert process.returncode == 0
    assert 'OPENAI_BASE_URL: "{url}/v1"' in text
    assert "ENABLE_PERSISTENT_CONFIG" not in text
