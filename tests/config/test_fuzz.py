"""Mutated configurations: whatever comes in, the answer is a configuration or the list of what is wrong."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

import pytest

from tests.support.cli import run_here

WHOLE = """\
version: 1
compose:
  project: renfield
  files: [compose.yaml]
  env_files: [some.env]
  profiles: []
environments:
  dev: {files: [compose.yaml], env_files: [some.env]}
default_environment: dev
consumers:
  backend:
    env: {OLLAMA_URL: "{url}", KEY: "{token}"}
    verify: {http: "http://localhost:8000/healthz"}
models: [qwen3:8b]
local:
  service: ollama
  image: ollama/ollama:0.33.0
  gpu: {driver: nvidia, device_ids: ["0"]}
  volume: ollama_data
  publish: 127.0.0.1:11434
  tuning: {num_parallel: 4, max_loaded_models: 2, keep_alive: 24h, context_length: 8192}
instances:
  gpu-box: &box
    url: http://cuda.local:11434
    address: 192.168.1.100
    priority: 1
    timeout: 60s
    auth: {bearer: "${GPU_BOX_TOKEN}"}
    headers: {X-Client-ID: renfield}
    tls: {verify: true, server_name: ollama.example.com}
    endpoints: {chat: /api/v1/chat}
  other: {<<: *box, priority: 2}
profiles:
  cluster: {use: [gpu-box], policy: priority, fallback: local}
on_unreachable: fail
gateway: false
network: {shared: ollama-net}
"""
SPICE = [
    "\t", "\n", "\n  ", ": ", "- ", "[", "]", "{", "}", "*", "&a ",
    "<<: ", "!!x ", "|", ">", "'", '"', "#", "%", "@", "`",
    "\0", "\x1b[31m", "\ufeff", "\u202e",
    "\ud7ff", "é", "😀", "${", "${X}", "$$", "~", "null", "true", "-1", "1e999", ".nan",
    "9" * 40, "0x", "---\n", "...\n", "? ", "\r", "\r\n", "\x85", "\u2028", "a" * 300, "../../etc/passwd", "/",
]  # fmt: skip
ROUNDS = 250


def mutated(text: str, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.choice((0, 1, 1, 4, 20)))
        match chance.randrange(5):
            case 0:
                text = text[:at] + chance.choice(SPICE) + text[at:]
            case 1:
                text = text[:at] + text[end:]
            case 2:
                text = text[:at] + text[at:end] * 2 + text[end:]
            case 3:
                text = text[:at] + chance.choice(SPICE) + text[end:]
            case _:
                lines = text.split("\n")
                one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
                lines[one], lines[other] = lines[other], lines[one]
                text = "\n".join(lines)
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    if data and chance.random() < 0.1:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_never_anything_but_a_configuration_or_its_problems(seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        (project / "compose.yaml").write_text("services:\n  backend:\n    image: stackctl.local/busybox:base\n")
        (project / "some.env").write_text("A=b\n")
        for number in range(ROUNDS):
            data = mutated(WHOLE, chance)
            (project / "stackctl.yaml").write_bytes(data)
            # `instances list` reads the whole file and asks no engine.
            ran = run_here("-C", project, "instances", "list", "--json", env={"GPU_BOX_TOKEN": "t"})
            assert ran.code in (0, 2), f"seed {seed}, round {number}: {ran.text}\n{data!r}"
            document = json.loads(ran.out)
            for problem in document.get("problems", ()):
                file, *place = problem["where"].split(":")
                assert file == "stackctl.yaml"
                assert len(place) in (0, 2)
            assert sorted(p.name for p in project.iterdir()) == ["compose.yaml", "some.env", "stackctl.yaml"]
