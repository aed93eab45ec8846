"""Who starts processes, who opens the engine's socket, and who imports python-on-whales: one module each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "stackctl"
PROCESSES = ("subprocess", "_posixsubprocess", "pty", "multiprocessing", "pexpect", "sh")
STARTERS = ("exec", "spawn", "posix_spawn", "system", "popen", "fork", "startfile", "create_subprocess", "subprocess_")
"""How functions of ``os`` and ``asyncio`` begin that start a process."""
GATES = {
    "process": {"adapters/process.py"},
    "socket": {"adapters/enginelink.py"},
    "way": {"adapters/api.py"},
    "python_on_whales": {"adapters/whales.py"},
    "client": {"adapters/docker.py"},
}
RELAY_DOOR = {"adapters/reach.py"}
"""Listens on a unix socket of its own, for the relay in a container to come back to."""
ELSEWHERE = {"diagnose/vantage/"}
"""Scripts that run in other people's containers, and not in this program."""


def uses(tree: ast.AST) -> Iterator[str]:
    """What a module uses of what is guarded here."""
    systems = {"os", "asyncio"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _imported(alias.name)
                if alias.name in ("os", "asyncio") and alias.asname:
                    systems.add(alias.asname)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported(node.module or "")
            for alias in node.names:
                yield from _imported(f"{node.module}.{alias.name}")
                if node.module in ("os", "asyncio") and alias.name.startswith(STARTERS):
                    yield "process"
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id in systems and node.attr.startswith(STARTERS):
                yield "process"
            if node.attr == "AF_UNIX":
                yield "unix"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            dynamic = name in ("__import__", "import_module") and node.args and isinstance(node.args[0], ast.Constant)
            if dynamic:
                yield from _imported(str(node.args[0].value))  # type: ignore[attr-defined]
            if name in ("EngineTransport", "EngineApi", "HTTPTransport", "HTTPConnection"):
                yield {"EngineTransport": "way", "EngineApi": "client"}.get(name, "http")
        elif isinstance(node, ast.Constant) and node.value == "dial-stdio":
            yield "socket"
        elif isinstance(node, ast.Constant) and str(node.value).endswith("/docker.sock"):
            yield "path"


def _imported(module: str) -> Iterator[str]:
    package = module.split(".", maxsplit=1)[0]
    if package in PROCESSES:
        yield "process"
    if package == "python_on_whales":
        yield "python_on_whales"
    if module == "stackctl.adapters.enginesocket":
        yield "place"
    if package in ("docker", "requests", "aiohttp") or module.startswith(("http.client", "urllib.request")):
        yield "http"


@cache
def used() -> dict[str, set[str]]:
    """Each module of the package, and what it uses."""
    modules = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    return {
        name: set(uses(ast.parse(path.read_bytes())))
        for name, path in modules.items()
        if not name.startswith(tuple(ELSEWHERE))
    }


def everywhere(what: str) -> set[str]:
    """Modules of the package that use it."""
    return {name for name, found in used().items() if what in found}


def test_one_module_starts_processes() -> None:
    assert everywhere("process") == GATES["process"]


def test_one_module_connects_to_the_engine() -> None:
    """The stream to its socket or to the docker client's, the client over that stream, and who holds the client."""
    assert everywhere("socket") == GATES["socket"]
    assert everywhere("unix") == GATES["socket"] | RELAY_DOOR
    assert everywhere("place") == {"adapters/api.py", "adapters/docker.py"}
    assert everywhere("path") == {"adapters/enginesocket.py"}
    assert everywhere("way") == GATES["way"]
    assert everywhere("client") == GATES["client"]


def test_one_module_acts_by_python_on_whales() -> None:
    assert everywhere("python_on_whales") == GATES["python_on_whales"]


def test_nothing_else_speaks_http() -> None:
    assert everywhere("http") == set()


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess as s",
        "from subprocess import run",
        "import os\nos.execvp('docker', [])",
        "import os as o\no.posix_spawn",
        "from os import system",
        "import asyncio\nasyncio.create_subprocess_exec",
        "import pty",
        "__import__('subprocess')",
        "import importlib\nimportlib.import_module('subprocess')",
    ],
)
def test_no_way_round_is_overlooked(text: str) -> None:
    assert "process" in set(uses(ast.parse(text)))
