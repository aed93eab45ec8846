"""Start the test double of Ollama as a process of its own, and stop it again, whatever happens.

with double(tmp_path, models=["tiny-chat"]) as server:
    httpx.get(f"{server.url}/api/tags")
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

EXECUTABLE = Path(__file__).parents[2] / "compose" / "images" / "ollama-double" / "ollama"
_LISTENING = re.compile(r'msg="Listening on (?:\S*):(\d+) ')
_PATIENCE = 15.0


class DoubleError(RuntimeError):
    """The double did not start, or did not answer; the text ends with its log."""


@dataclass
class Double:
    """A running double. `log` is what it wrote; `home` holds its store and its key."""

    host: str
    port: int
    name: str
    home: Path
    process: subprocess.Popen[bytes]
    scheme: str = "http"
    credentials: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it answers, as seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def address(self) -> str:
        """`host:port`, to put into OLLAMA_HOST."""
        return self.url.partition("://")[2]

    @property
    def models(self) -> Path:
        """The folder of its store."""
        return self.home / "models"

    @property
    def log(self) -> str:
        """Everything it has written so far: its log, then its access lines."""
        return "".join((self.home / name).read_text(errors="replace") for name in ("stderr", "stdout"))

    def admin(self, method: str, what: str, body: Any = None) -> Any:
        """Call one of the double's own routes and return the JSON of its answer."""
        status, data = _call(self, method, f"/_double/{what}", None if body is None else json.dumps(body))
        if status >= 400:
            raise DoubleError(f"{method} {what}: {status} {data.decode(errors='replace')}")
        return json.loads(data) if data else None

    def faults(self, **knobs: Any) -> None:
        """Change knobs while it runs."""
        self.admin("PATCH", "faults", knobs)

    def heal(self) -> None:
        """Set every knob back."""
        self.admin("DELETE", "faults")

    def requests(self) -> list[dict[str, Any]]:
        """What it was asked, oldest first: method, target, headers."""
        return list(self.admin("GET", "requests"))

    def stop(self) -> int:
        """End it and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def _call(server: Double, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    where = server.address.rpartition(":")[0].strip("[]")
    if server.scheme == "https":
        context = ssl._create_unverified_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            where, server.port, timeout=5, context=context
        )
    else:
        connection = http.client.HTTPConnection(where, server.port, timeout=5)
    try:
        connection.request(method, path, body, server.credentials)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def start(
    home: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    name: str = "",
    models: Iterable[str] = (),
    faults: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    admin: bool = True,
    tls: tuple[Path, Path] | None = None,
    prefix: Sequence[str] = (),
    wait: bool = True,
) -> Double:
    """Start a double; the caller stops it. `double` below is the same as a context manager.

    `port` 0 takes a free one. `tls` is a certificate and its key as PEM files. `prefix` goes before the command, such
    as `["ip", "netns", "exec", NAME]`; `wait=False` returns at once (an answer may not be reachable from here).
    """
    home.mkdir(parents=True, exist_ok=True)
    name = name or f"double-{secrets.token_hex(3)}"
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "OLLAMA_HOST": bind,
        "OLLAMA_MODELS": str(home / "models"),
        "OLLAMA_DOUBLE_NAME": name,
        "OLLAMA_DOUBLE_MODELS": ",".join(models),
        "OLLAMA_DOUBLE_ADMIN": "1" if admin else "0",
        "OLLAMA_DOUBLE_FAULTS": json.dumps(dict(faults or {})),
    }
    if tls:
        given |= {"OLLAMA_DOUBLE_TLS_CERT": str(tls[0]), "OLLAMA_DOUBLE_TLS_KEY": str(tls[1])}
    with (home / "stderr").open("wb") as stderr, (home / "stdout").open("wb") as stdout:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-S", str(EXECUTABLE), "serve"],
            env=given | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    server = Double(host, port, name, home, process, "https" if tls else "http")
    if wait:
        try:
            _await_listening(server)
            _await_answer(server)
        except BaseException:
            server.stop()
            raise
    return server


def _await_listening(server: Double) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        found = _LISTENING.search((server.home / "stderr").read_text(errors="replace"))
        if found:
            server.port = int(found.group(1))
            return
        if server.process.poll() is not None:
            break
        time.sleep(0.005)
    raise DoubleError(f"the double does not listen:\n{server.log}")


def _await_answer(server: Double) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        # Any status will do: the double may ask for credentials or live below a prefix.
        with contextlib.suppress(OSError, http.client.HTTPException):
            _call(server, "GET", "/")
            return
        if server.process.poll() is not None:
            break
        time.sleep(0.005)
    raise DoubleError(f"the double does not answer:\n{server.log}")


@contextlib.contextmanager
def double(home: Path, **settings: Any) -> Iterator[Double]:
    """Run a double for the length of a `with`; the arguments are those of `start`."""
    server = start(home, **settings)
    try:
        yield server
    finally:
        server.stop()


def command(*words: str, host: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the double's `ollama` command against `host` and return what it did."""
    given = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "OLLAMA_HOST": host}
    return subprocess.run(
        [sys.executable, "-S", str(EXECUTABLE), *words],
        env=given | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def until(holds: Callable[[], object]) -> None:
    """Wait for ten seconds at most until something holds."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
