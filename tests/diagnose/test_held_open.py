"""The probe keeps its sending half open until the answer has been read, with whatever tool it finds."""

from __future__ import annotations

import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stackctl.config.url import OllamaUrl
from stackctl.diagnose.answers import ProbeAnswers, parse
from stackctl.diagnose.plan import Aim, Ask, ProbePlan
from stackctl.diagnose.render import for_shell

SMALL = ("awk", "base64", "cat", "cut", "date", "df", "head", "od", "sleep", "sh", "tail", "timeout", "tr")
TOOLS = {
    "busybox": ("nc", "nslookup"),
    "bash": ("bash", "getent"),
    "python3": ("python3",),
    "node": ("node",),
}
"""What an image has beside a shell and its small tools."""
PATHS = ("/", "/api/version", "/api/tags", "/v1/models", "/api/show")
BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
THINKING = 0.1
"""Seconds between a request and its answer, in which a closed half is noticed."""


@dataclass
class Strict:
    """A server that notes the requests whose sender closed its half before the answer."""

    port: int
    asked: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def answer(self, connection: socket.socket) -> None:
        with connection:
            asked = b""
            while b"\r\n\r\n" not in asked:
                piece = connection.recv(65536)
                if not piece:  # a bare try to connect
                    return
                asked += piece
            line = asked.split(b"\r\n", 1)[0].decode()
            self.asked.append(line)
            if select.select([connection], [], [], THINKING)[0] and not connection.recv(1):
                self.left.append(line)
            connection.sendall(BODY)


@pytest.fixture
def strict() -> Iterator[Strict]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Strict(listener.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # closed: the test is over
                    return
                threading.Thread(target=made.answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)


def _program(name: str) -> str | None:
    """Where it is; of Python the one below a virtual environment, which does not run by another name."""
    return str(Path(sys.executable).resolve()) if name == "python3" else shutil.which(name)


@pytest.fixture(params=TOOLS)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the programs of one kind of image, and no others."""
    kind = request.param
    busybox = shutil.which("busybox")
    if kind == "busybox" and busybox is None:
        pytest.skip("busybox is not on this machine")
    for name in (*SMALL, *TOOLS[kind]):
        found = busybox if kind == "busybox" else _program(name)
        if found is None:
            pytest.skip(f"{name} is not on this machine")
        (tmp_path / name).symlink_to(found)
    return tmp_path


def probed(image: Path, plan: ProbePlan) -> ProbeAnswers:
    (_, *argv), stdin = for_shell(plan)
    done = subprocess.run(
        [image / "sh", *argv], input=stdin, capture_output=True, env={"PATH": str(image)}, timeout=30, check=False
    )
    return parse(done.stdout)


def test_it_is_seen_open_by_the_server(image: Path, strict: Strict) -> None:
    asks = tuple(Ask(path, "POST" if path == "/api/show" else "GET", path) for path in PATHS)
    aim = Aim("0", OllamaUrl.parse(f"http://127.0.0.1:{strict.port}"), asks)
    seen = probed(image, ProbePlan((aim,), facts=False))
    assert {a.ask: a.raw.split(b" ", 2)[1] for a in seen.aims["0"].answered} == dict.fromkeys(PATHS, b"200")
    assert strict.left == []
    assert len(strict.asked) == len(PATHS)
    assert all(a.ms < 1000 for a in seen.aims["0"].answered), "an answer is waited for no longer than it takes"


def test_it_ends_in_its_time_where_the_server_says_nothing(image: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = OllamaUrl.parse(f"http://127.0.0.1:{silent.getsockname()[1]}")
        plan = ProbePlan((Aim("0", url, (Ask("root", "GET", "/", timeout=1.0),)),), facts=False, connect_timeout=1.0)
        begun = time.monotonic()
        seen = probed(image, plan)
        assert time.monotonic() - begun < 6
    assert [a.raw for a in seen.aims["0"].answered] == [b""]
