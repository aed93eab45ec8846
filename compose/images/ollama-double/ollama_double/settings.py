"""The OLLAMA_* variables that the real server reads, by its defaults and its ways of misreading."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_double import godata, hostaddr

if TYPE_CHECKING:
    from collections.abc import Mapping

FOREVER = godata.MAX_NS
_ORIGIN_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")
_ORIGIN_APPS = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
_ORIGIN_SCHEMES = tuple(
    f"{scheme}://"
    for scheme in (
        "http", "https", "chrome-extension", "safari-extension", "moz-extension", "ms-browser-extension", "app", "file",
        "tauri", "vscode-webview", "vscode-file",
    )
)  # fmt: skip


class OriginError(ValueError):
    """OLLAMA_ORIGINS holds an entry that stops the real server at start."""


@dataclass(frozen=True)
class Settings:
    """The server's effective settings; durations are nanoseconds, `FOREVER` for no limit."""

    host: hostaddr.HostAddress
    origins: tuple[str, ...]
    home: pathlib.Path
    models: pathlib.Path
    keep_alive: int
    context_length: int
    num_parallel: int
    max_loaded: int
    max_queue: int
    load_timeout: int
    no_prune: bool
    no_cloud: bool
    remotes: tuple[str, ...]
    debug: bool
    library: str
    hidden_gpus: bool
    proxies: dict[str, str]

    def shown(self) -> str:
        """Return the `env="map[…]"` text of the server's first log line."""
        pairs = {
            "OLLAMA_CONTEXT_LENGTH": self.context_length,
            "OLLAMA_DEBUG": "DEBUG" if self.debug else "INFO",
            "OLLAMA_HOST": self.host.url,
            "OLLAMA_KEEP_ALIVE": godata.show_duration(self.keep_alive),
            "OLLAMA_LLM_LIBRARY": self.library,
            "OLLAMA_LOAD_TIMEOUT": godata.show_duration(self.load_timeout),
            "OLLAMA_MAX_LOADED_MODELS": self.max_loaded,
            "OLLAMA_MAX_QUEUE": self.max_queue,
            "OLLAMA_MODELS": self.models,
            "OLLAMA_NOPRUNE": str(self.no_prune).lower(),
            "OLLAMA_NO_CLOUD": str(self.no_cloud).lower(),
            "OLLAMA_NUM_PARALLEL": self.num_parallel,
            "OLLAMA_ORIGINS": f"[{' '.join(self.origins)}]",
            "OLLAMA_REMOTES": f"[{' '.join(self.remotes)}]",
            **{name: self.proxies.get(name, "") for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")},
        }
        return f"map[{' '.join(f'{key}:{value}' for key, value in sorted(pairs.items()))}]"


def read(env: Mapping[str, str] | None = None) -> tuple[Settings, list[str]]:
    """Return the settings and the warnings to log; OriginError for a fatal OLLAMA_ORIGINS."""
    source = os.environ if env is None else env
    warnings: list[str] = []

    def text(name: str) -> str:
        return hostaddr.clean(source.get(name, ""))

    def number(name: str, default: int) -> int:
        value = text(name)
        if not value:
            return default
        if value.isdecimal():
            return int(value)
        warnings.append(f"invalid environment variable, using default|{name}|{value}|{default}")
        return default

    host = hostaddr.parse(source.get("OLLAMA_HOST"))
    if host.problem:
        warnings.append(host.problem)
    home = pathlib.Path(source.get("HOME") or "/")
    proxies = {n: source.get(n) or source.get(n.lower()) or "" for n in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")}
    hidden = any(text(n) == "-1" for n in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"))
    settings = Settings(
        host=host,
        origins=_origins(text("OLLAMA_ORIGINS")),
        home=home,
        models=pathlib.Path(text("OLLAMA_MODELS") or home / ".ollama" / "models"),
        keep_alive=_keep_alive(text("OLLAMA_KEEP_ALIVE"), 5 * 60 * godata.SECOND),
        context_length=number("OLLAMA_CONTEXT_LENGTH", 0),
        num_parallel=max(1, number("OLLAMA_NUM_PARALLEL", 1)),
        max_loaded=number("OLLAMA_MAX_LOADED_MODELS", 0),
        max_queue=number("OLLAMA_MAX_QUEUE", 512),
        load_timeout=_keep_alive(text("OLLAMA_LOAD_TIMEOUT"), 5 * 60 * godata.SECOND, zero=FOREVER),
        no_prune=godata.parse_bool(text("OLLAMA_NOPRUNE")),
        no_cloud=godata.parse_bool(text("OLLAMA_NO_CLOUD")),
        remotes=tuple(part for part in (text("OLLAMA_REMOTES") or "ollama.com").split(",") if part),
        debug=text("OLLAMA_DEBUG").upper() in {"1", "2", "TRUE", "T", "DEBUG", "TRACE"},
        library=text("OLLAMA_LLM_LIBRARY"),
        hidden_gpus=hidden,
        proxies=proxies,
    )
    return settings, warnings


def _keep_alive(value: str, default: int, zero: int = 0) -> int:
    if not value:
        return default
    try:
        duration = int(value) * godata.SECOND
    except ValueError:
        try:
            duration = godata.parse_duration(value)
        except ValueError:
            return default
    if duration < 0:
        return FOREVER
    return duration or zero


def _origins(value: str) -> tuple[str, ...]:
    origins = [part.strip() for part in value.split(",") if part.strip()]
    for origin in origins:
        if "*" not in origin and not origin.startswith(_ORIGIN_SCHEMES):
            raise OriginError("bad origin: origins must contain '*' or include " + ",".join(_ORIGIN_SCHEMES))
        if origin.count("*") > 1:
            raise OriginError("only one * is allowed")
    for host in _ORIGIN_HOSTS:
        origins += [f"http://{host}", f"https://{host}", f"http://{host}:*", f"https://{host}:*"]
    return (*origins, *_ORIGIN_APPS)
