"""Backup and restore of a store of 2 GiB beside tar through a helper container, and 40 instances asked at once."""

from __future__ import annotations

import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, timed

STACKCTL = str(Path(sys.executable).with_name("stackctl"))
IMAGE = "stackctl.local/ollama-double:dev"
SIZE = 2 << 30
RUNS = 3
MEMORY = 150
LABEL = "io.stackctl.test=1"
COMPOSE = f"""\
name: {{name}}
services:
  ollama: {{{{image: "{IMAGE}", volumes: ["models:/root/.ollama"], labels: {{{{io.stackctl.test: "1"}}}}}}}}
volumes: {{{{models: {{{{labels: {{{{io.stackctl.test: "1"}}}}}}}}}}}}
"""
# Noise, as quantised weights are: two layers of half the size each.
FILL = """
import hashlib, json, os, sys
root = "/root/.ollama/models"
os.makedirs(root + "/blobs"); os.makedirs(root + "/manifests/registry.ollama.ai/library/big")
def blob(size):
    digest = hashlib.sha256()
    with open(root + "/blobs/new", "wb") as out:
        for _ in range(size >> 20 or 1):
            piece = os.urandom(min(size, 1 << 20)); digest.update(piece); out.write(piece)
    os.rename(root + "/blobs/new", root + "/blobs/sha256-" + digest.hexdigest())
    return {"digest": "sha256:" + digest.hexdigest(), "size": size}
layers = [blob(int(sys.argv[1]) // 2) for _ in range(2)]
json.dump({"config": blob(300), "layers": layers}, open(root + "/manifests/registry.ollama.ai/library/big/1", "w"))
"""


def run() -> Iterator[Figure]:
    """Each bar of the Ollama side that is a matter of time or memory."""
    yield from _backup()
    yield _instances()


def _backup() -> Iterator[Figure]:
    name = f"sct-bench-{secrets.token_hex(4)}"
    volume, other = f"{name}_models", f"{name}-other"
    with tempfile.TemporaryDirectory(prefix="stackctl-bench-", dir=os.environ.get("BENCH_DIR")) as folder:
        here = Path(folder)
        (here / "compose.yaml").write_text(COMPOSE.format(name=name))
        (here / "stackctl.yaml").write_text("version: 1\nlocal: {gpu: none}\n")
        compose = ["docker", "compose", "--project-directory", folder]
        try:
            timed([*compose, "create", "--quiet-pull"])
            timed([*_helper(volume, folder), "--entrypoint", "python3", IMAGE, "-c", FILL, str(SIZE)])
            timed(["docker", "volume", "create", "--label", LABEL, other])
            ours, tar = str(here / "ours.tar.zst"), "/out/plain.tar"
            backup = [STACKCTL, "-C", folder, "-q", "models", "backup", ours, "--yes"]
            restore = [STACKCTL, "-C", folder, "-q", "models", "restore", ours]
            save = [*_helper(volume, folder), "--entrypoint", "tar", IMAGE, "-cf", tar, "-C", "/root/.ollama", "models"]
            load = [*_helper(other, folder), "--entrypoint", "tar", IMAGE, "-xf", tar, "-C", "/root/.ollama"]
            memory = 0.0
            for what, argv, plain in (("backup", backup, save), ("restore", restore, load)):
                pairs = []
                for _ in range(RUNS):
                    took, used = _measured(argv)
                    memory = max(memory, used)
                    pairs.append((took, timed(plain)))
                value = statistics.median(b / a for a, b in pairs)
                a, b = (statistics.median(x) for x in zip(*pairs, strict=True))
                detail = f"{a:.2f} s against {b:.2f} s: {value:.2f} of its speed, at least 0.7"
                yield Figure(f"{what} of 2 GiB / tar through a helper container", 1 / value, 1 / 0.7, "x", detail)
            yield Figure("memory of backup and restore", memory, MEMORY, "MB")
        finally:
            subprocess.run([*compose, "down", "-t", "0", "-v"], capture_output=True, check=False)
            subprocess.run(["docker", "volume", "rm", "-f", other], capture_output=True, check=False)


def _helper(volume: str, folder: str) -> list[str]:
    mounts = ["-v", f"{volume}:/root/.ollama", "-v", f"{folder}:/out"]
    return ["docker", "run", "--rm", "--network", "none", "--label", LABEL, *mounts]


def _measured(argv: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one run."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}:\n{said.read().decode()}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


def _instances() -> Figure:
    """Thirty that answer and ten that take the connection and say nothing; only what is beyond the timeout counts."""
    double = Path(__file__).parents[1] / "compose/images/ollama-double/ollama"
    timeout = 2.0
    with (
        tempfile.TemporaryDirectory(prefix="stackctl-bench-") as folder,
        socket.create_server(("127.0.0.1", 0)) as mute,
    ):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = {"PATH": os.environ["PATH"], "HOME": folder, "OLLAMA_HOST": f"127.0.0.1:{port}"}
        server = subprocess.Popen(
            [sys.executable, str(double), "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            ports = [port] * 30 + [mute.getsockname()[1]] * 10
            entries = "".join(
                f"  i{n}: {{url: 'http://127.0.0.1:{p}', timeout: {timeout:g}s}}\n" for n, p in enumerate(ports)
            )
            (Path(folder) / "compose.yaml").write_text("name: sct-bench-none\nservices: {a: {image: none}}\n")
            (Path(folder) / "stackctl.yaml").write_text(f"version: 1\ninstances:\n{entries}")
            _answers(port)
            begun = time.perf_counter()
            done = subprocess.run([STACKCTL, "-C", folder, "instances", "test"], capture_output=True, check=False)
            took = time.perf_counter() - begun
            if done.stdout.count(b"unreachable") < 10 or done.stdout.count(b" healthy") != 30:
                raise SystemExit(f"30 of 40 should be healthy:\n{done.stdout.decode()}{done.stderr.decode()}")
        finally:
            server.terminate()
            server.wait()
    return Figure("40 instances, 10 dead: beyond the timeout of one", took - timeout, 1.0, "s", f"{took:.2f} s in all")


def _answers(port: int) -> None:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.02)
    raise SystemExit("the double does not answer")
