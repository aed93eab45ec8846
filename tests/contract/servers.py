"""Who the contract is held against: doubles, one for each need, or the real server at OLLAMA_CONTRACT_URL.

For a real server these variables say what it has:
  OLLAMA_CONTRACT_CHAT, _EMBED, _THINK, _TOOLS, _INSERT, _VISION   names of models of that sort
  OLLAMA_CONTRACT_HAVE   what holds of it, joined by commas: `offline`, `fresh`, `env OLLAMA_NO_CLOUD=1`
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.support.double import Double, start
from tests.support.rawhttp import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = os.environ.get("OLLAMA_CONTRACT_URL", "").rstrip("/")
MODELS = {"chat": "tiny-chat", "embed": "tiny-embed", "think": "tiny-think", "tools": "tiny-tools",
          "insert": "tiny-insert", "vision": "tiny-vision"}  # fmt: skip
_OF_THE_SERVER = {"loopback", "wildcard", "env", "offline", "fresh", "queue-full"}


@dataclass(frozen=True)
class Server:
    """One server: where it answers, its models by sort, and the double behind it, if it is one."""

    url: str
    models: dict[str, str]
    double: Double | None = None

    def words(self, registry: str) -> dict[str, str]:
        """Return what the placeholders of a case stand for."""
        words = dict(self.models)
        for sort, name in self.models.items():
            words[f"{sort}:tag"] = name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
        return words | {"registry": registry}


def of_the_server(token: str) -> bool:
    """Say whether a token asks for a server of a certain sort, not for a state of it."""
    return token.split(" ", maxsplit=1)[0] in _OF_THE_SERVER


class Pool:
    """The doubles of one test process, started when first wanted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[tuple[str, ...], Double] = {}
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        """Stop them all."""
        self._stack.close()

    def get(self, given: tuple[str, ...]) -> Server:
        """Return the server for these tokens."""
        if URL:
            return real()
        need = tuple(sorted({token for token in given if of_the_server(token)} - {"loopback"}))
        if need not in self._running:
            self._running[need] = self._start(need)
        double = self._running[need]
        if "fresh" in need:
            double.admin("POST", "unload")
            double.admin("POST", "wipe")
        return Server(double.url, MODELS, double)

    def _start(self, need: tuple[str, ...]) -> Double:
        env = dict(token[4:].split("=", 1) for token in need if token.startswith("env "))
        faults = {"registry": "dns"} if "offline" in need else {}
        if "queue-full" in need:
            env["OLLAMA_MAX_QUEUE"], faults["load_seconds"] = "1", 30
        double = start(
            self._folder / f"double-{len(self._running)}",
            host="0.0.0.0" if "wildcard" in need else "127.0.0.1",
            name="contract-double",
            models=() if "fresh" in need else MODELS.values(),
            env=env,
            faults=faults,
        )
        self._stack.callback(double.stop)
        return double


def real() -> Server:
    """Return the real server."""
    given = {sort: os.environ.get(f"OLLAMA_CONTRACT_{sort.upper()}", "") for sort in MODELS}
    return Server(URL, {sort: name for sort, name in given.items() if name})


def tidy(registry: str) -> None:
    """Take away what the suite left on the real server."""
    with alone():
        for model in ask(URL, "GET", "/api/tags").json["models"]:
            if model["name"].startswith(("ct-", f"{registry}/")):
                ask(URL, "DELETE", "/api/delete", body={"model": model["name"]})


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock that lets one test of all workers use the real server."""
    with (Path(tempfile.gettempdir()) / "stackctl-contract.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def why_not(given: tuple[str, ...]) -> str | None:
    """Return why the real server cannot be put into this state, or None."""
    have = {part.strip() for part in os.environ.get("OLLAMA_CONTRACT_HAVE", "").split(",")}
    server = real()
    for token in given:
        if token in have:
            continue
        if token in MODELS and token not in server.models:
            return f"needs OLLAMA_CONTRACT_{token.upper()}, the name of such a model"
        if token == "queue-full":
            return "a real server's queue cannot be filled from outside"
        if token in {"offline", "fresh"} or token.startswith("env "):
            return f"needs a server with: {token} (say so in OLLAMA_CONTRACT_HAVE)"
        if token == "registry" and (urlsplit(URL).hostname or "") not in {"127.0.0.1", "localhost", "::1"}:
            return "the loopback registry is out of its reach"
        if token in {"loopback", "wildcard"} and _loopback() is not (token == "loopback"):
            return f"needs a server bound to {token}"
    return None


def _loopback() -> bool:
    return ask(URL, "GET", "/api/version", headers={"Host": "example.com"}).status == 403
