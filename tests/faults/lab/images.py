"""Five kinds of consumer image and an Ollama, made without a registry, as one archive for the lab's engine."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.faults.lab.shell import run

KINDS = ("debian", "busybox", "python", "node", "none")
"""Debian with curl; busybox only; Python without curl; Node; no shell at all."""
OLLAMA = "ollama/ollama:0.33.0"
_LABEL = "io.stackctl.test=1"
_BASES = ("stackctl.local/python:base", "stackctl.local/busybox:base", "stackctl.local/ollama-double:dev")


def archive() -> Path:
    """A ``docker load`` archive of all of them; made once for each state of the base images."""
    ids = [run("docker", "image", "inspect", "-f", "{{.Id}}", image).stdout.strip() for image in _BASES]
    digest = hashlib.sha256("\n".join([*ids, Path(__file__).read_text()]).encode()).hexdigest()[:12]
    target = Path(tempfile.gettempdir()) / f"stackctl-fault-lab-{digest}.tar"
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another lab may be about to make them too
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(prefix="stackctl-lab-images-") as room:
            names = _make(Path(room))
            partial = target.with_suffix(".partial")
            run("docker", "save", "-o", str(partial), *names)
            partial.rename(target)
        run("docker", "image", "rm", *[n for n in names if not n.startswith("stackctl.local/")])
    return target


def _make(room: Path) -> list[str]:
    _build(
        room / "debian", "lab/debian", f"FROM {_BASES[0]}\nRUN rm -f /usr/bin/python3*\nCOPY root/ /\n", _with("curl")
    )
    _build(
        room / "node",
        "lab/node",
        f"FROM {_BASES[0]}\nRUN rm -f /usr/bin/python3* /usr/bin/curl\nCOPY root/ /\n",
        _with("node"),
    )
    _build(room / "none", "lab/none", "FROM scratch\nCOPY --from=bb /bin/busybox /sleep\n", [])
    run("docker", "tag", _BASES[0], "lab/python")
    run("docker", "tag", _BASES[1], "lab/busybox")
    run("docker", "tag", _BASES[2], OLLAMA)
    return [f"lab/{kind}" for kind in KINDS] + [OLLAMA, _BASES[0]]


def _with(program: str) -> list[str]:
    """A program of this machine and the libraries that it needs."""
    path = shutil.which(program)
    assert path, f"{program} is not on this machine"
    real = str(Path(path).resolve())
    libraries = [w for line in run("ldd", real).stdout.splitlines() for w in line.split() if w.startswith("/")]
    return [path, real, *libraries]


def _build(room: Path, tag: str, dockerfile: str, files: list[str]) -> None:
    (room / "root").mkdir(parents=True)
    for file in dict.fromkeys(files):
        target = room / "root" / str(Path(file).parent.resolve()).lstrip("/") / Path(file).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(file).resolve(), target)
    (room / "Dockerfile").write_text(dockerfile)
    context = ["--build-context", f"bb=docker-image://{_BASES[1]}"] if "bb" in dockerfile else []
    subprocess.run(
        ["docker", "build", "-q", "-t", tag, "--label", _LABEL, *context, str(room)],
        check=True,
        capture_output=True,
        timeout=300,
    )
