"""What the double is told to do wrong, and the numbers it is told to show: one document, changeable while it runs."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HOSTILE = (
    "reset", "empty", "silent", "garbage", "endless-headers", "slow-loris", "slow-body", "huge-body", "gzip-bomb",
    "invalid-utf8", "deep-json", "ansi", "wrong-length", "html",
)  # fmt: skip
REGISTRY = ("ok", "dns", "refused", "timeout", "unreachable", "tls", "proxy", "html", "401", "412", "429", "500", "key")
LOAD_ERRORS = {
    "oom": "llama-server process has terminated: exit status 1: ggml_backend_cuda_buffer_type_alloc_buffer: "
    "allocating 4096.00 MiB on device 0: cudaMalloc failed: out of memory",
    "memory": "model requires more system memory (39.4 GiB) than is available (30.0 GiB)",
    "old-oom": "llama runner process has terminated: cudaMalloc failed: out of memory",
    "killed": "llama-server process has terminated: signal: killed",
    "illegal": "llama-server process has terminated: signal: illegal instruction",
    "timeout": "timed out waiting for llama-server to start - progress 0.00 - ",
    "binary": "error starting llama-server: llama-server binary not found (checked: /usr/lib/ollama)",
    "incompatible": "unable to load model: this model may be incompatible with your version of Ollama. "
    "If you previously pulled this model, try updating it by running `ollama pull`",
}
RUNNER_DIED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)


@dataclass
class RouteFault:
    """One answer replaced: `match` is `METHOD /path` with `*` allowed in both."""

    match: str
    status: int = 0
    body: Any = ""
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    times: int = -1
    after: int = 0
    hostile: str = ""
    bytes: int = 10 << 30

    def takes(self, method: str, path: str) -> bool:
        """Say whether this call is to be replaced, counting `after` and `times` down."""
        wanted, _, pattern = self.match.partition(" ")
        if not pattern:
            wanted, pattern = "*", wanted
        if not (fnmatch.fnmatchcase(method, wanted) and fnmatch.fnmatchcase(path, pattern)):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times == 0:
            return False
        if self.times > 0:
            self.times -= 1
        return True


@dataclass
class Faults:
    """Every knob; the defaults are a healthy server on a CPU. Times are seconds, sizes bytes."""

    start_seconds: float = 0.0
    version: str = ""
    accept: str = "ok"
    accept_times: int = -1
    gpu: str = "none"
    load_seconds: float = 0.0
    load_error: str = ""
    first_token_seconds: float = 0.0
    tokens_per_second: float = 0.0
    cut_after_tokens: int = -1
    stop_after_tokens: int = -1
    error_after_tokens: int = -1
    error_text: str = RUNNER_DIED
    pull_bytes_per_second: float = 32e6
    pull_disk_full_after: int = -1
    pull_cut_after: int = -1
    pull_stall_after: int = -1
    pull_corrupt: bool = False
    registry: str = "ok"
    registry_body: str = ""
    cloud: str = "offline"
    half_closed: float = -1.0
    bearer: str = ""
    basic: str = ""
    prefix: str = ""
    aliases: dict[str, str] = field(default_factory=dict)
    routes: list[RouteFault] = field(default_factory=list)

    def route(self, method: str, path: str) -> RouteFault | None:
        """Return the first fault that takes this call."""
        return next((fault for fault in self.routes if fault.takes(method, path)), None)

    def update(self, document: Mapping[str, Any]) -> None:
        """Change the knobs that `document` names; ValueError for an unknown one or a wrong value."""
        known = {item.name: item for item in dataclasses.fields(self)}
        fresh: dict[str, Any] = {}
        for key, value in document.items():
            if key not in known:
                raise ValueError(f"unknown fault {key!r}; known: {', '.join(sorted(known))}")
            fresh[key] = _routes(value) if key == "routes" else _like(key, value, getattr(Faults(), key))
        _choice("registry", fresh.get("registry", "ok"), REGISTRY)
        _choice("accept", fresh.get("accept", "ok"), ("ok", "reset", "silent"))
        _choice("cloud", fresh.get("cloud", "offline"), ("offline", "signed-out"))
        for key, value in fresh.items():
            setattr(self, key, value)

    def shown(self) -> dict[str, Any]:
        """Return the knobs as JSON, secrets left out."""
        value = dataclasses.asdict(self)
        return value | {key: "set" for key in ("bearer", "basic") if value[key]}


def parse(text: str) -> Faults:
    """Read the document of OLLAMA_DOUBLE_FAULTS, or of the file that `@path` names; ValueError when it is wrong."""
    faults = Faults()
    if text.startswith("@"):
        text = Path(text[1:]).read_text()
    if text.strip():
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("the faults must be one JSON object")
        faults.update(document)
    return faults


def _like(key: str, value: Any, example: Any) -> Any:
    if isinstance(example, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(example, str) and isinstance(value, int | float):
        return str(value)
    if type(value) is not type(example):
        raise ValueError(f"fault {key!r} must be a {type(example).__name__}")
    return value


def _choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"fault {key!r} must be one of {', '.join(allowed)}")


def _routes(value: Any) -> list[RouteFault]:
    if not isinstance(value, list):
        raise ValueError("fault 'routes' must be a list")  # noqa: TRY004 - one exception for a wrong document
    faults = []
    for item in value:
        try:
            fault = RouteFault(**item)
        except TypeError as error:
            raise ValueError(f"a route fault is wrong: {error}") from None
        if fault.hostile:
            _choice("hostile", fault.hostile, HOSTILE)
        faults.append(fault)
    return faults
