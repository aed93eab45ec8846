"""The server's life: read the environment, bind, log, discover, serve."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from random import Random
from typing import TYPE_CHECKING, Any

from ollama_double import VERSION, discovery, faults, keys, log, settings
from ollama_double.app import App, own_name
from ollama_double.net import guard
from ollama_double.net.listener import Listener
from ollama_double.runners.scheduler import Scheduler
from ollama_double.service import Service
from ollama_double.store import bundle as bundles
from ollama_double.store import catalogue, names
from ollama_double.store.disk import Store
from ollama_double.store.pull import Downloads

if TYPE_CHECKING:
    from collections.abc import Mapping


class StartError(Exception):
    """The server cannot start; the text follows `Error: `."""


def build(env: Mapping[str, str] = os.environ) -> App:
    """Make an App from the environment; StartError says what is wrong with it."""
    try:
        read, warnings = settings.read(env)
    except settings.OriginError as error:
        raise StartError(f"panic: {error}") from None
    log.configure(debug=read.debug, access=env.get("OLLAMA_DOUBLE_ACCESS_LOG", "1") != "0")
    for warning in warnings:
        text, *values = warning.split("|")
        log.line("WARN", "config.go:48", text, **dict(zip(("value", "default"), values[-2:], strict=True)))
    log.line("INFO", "routes.go:1949", "server config", env=read.shown())
    try:
        told = faults.parse(env.get("OLLAMA_DOUBLE_FAULTS", ""))
        _knobs(told, env)
        entries = catalogue.load(env.get("OLLAMA_DOUBLE_CATALOGUE", ""))
    except (ValueError, OSError) as error:
        raise StartError(f"the double's own settings are wrong: {error}") from None
    store = Store(read.models)
    dice = Random(env.get("OLLAMA_DOUBLE_SEED"))  # noqa: S311 - a test repeats it
    app = App(read, told, store, entries, Scheduler(read, told), Downloads(store, told), own_name(env), dice)
    log.line("INFO", "routes.go:1951", f"Ollama cloud disabled: {str(any(app.cloud_switches())).lower()}")
    try:
        keys.ensure(read.home)
        store.open(prune=not read.no_prune)
        _preload(app, env.get("OLLAMA_DOUBLE_MODELS", ""))
    except OSError as error:
        text = f"{(error.strerror or str(error)).lower()}"
        if str(error.filename or "").startswith(str(read.models)):
            raise StartError(f"mkdir {error.filename}: {text}: ensure path elements are traversable") from None
        raise StartError(f"could not create directory mkdir {error.filename}: {text}") from None
    return app


def _knobs(told: faults.Faults, env: Mapping[str, str]) -> None:
    table = {"GPU": "gpu", "PREFIX": "prefix", "BEARER": "bearer", "BASIC": "basic", "VERSION": "version",
             "REGISTRY": "registry"}  # fmt: skip
    told.update(
        {knob: env[f"OLLAMA_DOUBLE_{name}"] for name, knob in table.items() if env.get(f"OLLAMA_DOUBLE_{name}")}
    )
    rates = {"TOKENS_PER_SECOND": "tokens_per_second", "PULL_RATE": "pull_bytes_per_second"}
    told.update({knob: float(env[f"OLLAMA_DOUBLE_{n}"]) for n, knob in rates.items() if env.get(f"OLLAMA_DOUBLE_{n}")})


def _preload(app: App, wanted: str) -> None:
    for text in filter(None, (part.strip() for part in wanted.split(","))):
        name = names.parse(text)
        entry = app.catalogue.get(f"{name.model}:{name.tag}".lower())
        if entry is None or not name.valid:
            raise StartError(f"OLLAMA_DOUBLE_MODELS: {text} is not in the double's catalogue")
        if app.store.find(name) is None:
            app.store.put_bundle(name, bundles.build(entry))


async def run(env: Mapping[str, str] = os.environ) -> None:
    """Serve until SIGINT or SIGTERM; StartError when it cannot begin."""
    app = build(env)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    host, port = app.settings.host.host, app.settings.host.port
    try:
        bound = _bind(host, port)
    except socket.gaierror:
        raise StartError(f"listen tcp: lookup {host}: no such host") from None
    except OSError as error:
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise StartError(f"listen tcp {shown}: bind: {(error.strerror or str(error)).lower()}") from None
    address = bound.getsockname()
    wildcard = address[0] in {"0.0.0.0", "::"}
    shown = f"[{'::' if wildcard else address[0]}]" if wildcard or ":" in address[0] else address[0]
    log.line("INFO", "routes.go:2008", f"Listening on {shown}:{address[1]} (version {app.version})")
    log.line("INFO", "double.py:1", f"this is a test double of Ollama ({VERSION}), named {app.name}", pid=os.getpid())
    discovery.discover(app)
    if app.faults.start_seconds:
        wait = asyncio.create_task(stopped.wait())
        await asyncio.wait([wait], timeout=app.faults.start_seconds)
    log.line(
        "INFO",
        "routes.go:2058",
        "vram-based default context",
        total_vram=discovery.total_vram(app),
        default_num_ctx=discovery.default_context(app),
    )
    loopback = address[0].startswith("127.") or address[0] == "::1"
    service = Service(app, guard.Guard(app.settings.origins, loopback=loopback),
                      with_admin=env.get("OLLAMA_DOUBLE_ADMIN") == "1")  # fmt: skip
    listener = Listener(bound, service.serve, app.faults, env.get("OLLAMA_DOUBLE_TLS_CERT", ""),
                        env.get("OLLAMA_DOUBLE_TLS_KEY", ""))  # fmt: skip
    await listener.serve_until(stopped)


def _bind(host: str, port: int) -> socket.socket:
    if host in {"", "0.0.0.0", "::"}:
        # The real server's wildcard is dual-stack, whichever way it is written.
        try:
            return _bound(socket.AF_INET6, ("::", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
        return _bound(socket.AF_INET, ("0.0.0.0", port))
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of a name's addresses, the first of IPv4 is taken before one of IPv6.
    family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return _bound(family, address)


def _bound(family: int, address: Any) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
        bound.bind(address)
        bound.listen(1024)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def serve(env: Mapping[str, str] = os.environ) -> int:
    """Run the server; return its exit status."""
    try:
        asyncio.run(run(env))
    except StartError as error:
        text = str(error)
        sys.stderr.write(f"{text}\n" if text.startswith("panic: ") else f"Error: {text}\n")
        return 2 if text.startswith("panic: ") else 1
    except KeyboardInterrupt:
        return 0
    return 0
