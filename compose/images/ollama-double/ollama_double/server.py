"""The server's life: bind, log, discover, serve; and the way of one request through it."""

from __future__ import annotations

import asyncio
import os
import posixpath
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ollama_double import VERSION, admin, catalogue, faults, front, godata, guard, hostile, keys, log, names, routes, settings
from ollama_double import bundle as bundles
from ollama_double.app import App, own_name
from ollama_double.pull import Downloads
from ollama_double.scheduler import Scheduler, gpu_share
from ollama_double.store import Store
from ollama_double.tls import Listener
from ollama_double.web import ApiError, Request, Response, error_response, text_response
from ollama_double.wire import Connection

_GIB = 1 << 30


class StartError(Exception):
    """The server cannot start; the text follows `Error: `."""


class Service:
    """Serves requests for one App."""

    def __init__(self, app: App, guarded: guard.Guard, *, with_admin: bool) -> None:
        self._app = app
        self._guard = guarded
        self._admin = with_admin
        self._routes = routes.table(app)
        self._version = app.version

    async def serve(self, request: Request, connection: Connection) -> Response:
        """Answer one request and write its access line."""
        app, begun = self._app, time.monotonic_ns()
        if self._admin and request.path.startswith(admin.PREFIX):
            return await admin.answer(app, request)
        if self._admin:
            app.journal.append({"method": request.method, "target": request.target, "headers": request.headers})
            del app.journal[: -admin.KEPT]
        app.active += 1
        status = 499
        try:
            response = await self._through(request, connection)
            status = response.status
        finally:
            app.active -= 1
            app.served += 1
            if status == 499:
                log.access(499, time.monotonic_ns() - begun, request.client, request.method, request.path)
        if response.stream is None:
            log.access(status, time.monotonic_ns() - begun, request.client, request.method, request.path)
        else:
            response.stream = self._logged(response.stream, status, request, begun)
        return response

    async def _logged(
        self, stream: AsyncIterator[bytes], status: int, request: Request, begun: int
    ) -> AsyncIterator[bytes]:
        self._app.active += 1
        try:
            async for piece in stream:
                yield piece
        finally:
            self._app.active -= 1
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
            log.access(status, time.monotonic_ns() - begun, request.client, request.method, request.path)

    async def _through(self, request: Request, connection: Connection) -> Response:
        app = self._app
        fault = app.faults.route(request.method, request.path)
        if fault is not None:
            if fault.delay:
                await asyncio.sleep(fault.delay)
            if fault.hostile:
                return await hostile.answer(fault, connection)
            if fault.status:
                return _overridden(fault)
        refusal = front.denied(request, app.faults)
        if refusal is not None:
            return refusal
        inner = front.rewritten(request, app.faults)
        if isinstance(inner, Response):
            return inner
        return await self._routed(inner)

    async def _routed(self, request: Request) -> Response:
        if self._version != self._app.version:
            self._routes, self._version = routes.table(self._app), self._app.version
        clean = posixpath.normpath("/" + request.path.lstrip("/")) if request.path != "/" else "/"
        if clean != request.path.rstrip("/") and clean != request.path:
            slash = "/" if request.path.endswith("/") and clean != "/" else ""
            return _redirect(request, clean + slash)
        found = self._routes.find(request.method, request.path)
        if found is None and len(request.path) > 1:
            other = request.path[:-1] if request.path.endswith("/") else request.path + "/"
            if self._routes.find(request.method, other):
                return _redirect(request, other)
        verdict = self._guard.check(request)
        response = verdict.answer or await self._handled(request, found)
        response.headers[:0] = [pair for pair in verdict.headers if pair not in response.headers]
        return response

    async def _handled(self, request: Request, found: Any) -> Response:
        if found is None:
            allowed = self._routes.allowed(request.path)
            if allowed:
                response = text_response(405, "405 method not allowed")
                response.headers.append(("Allow", ", ".join(allowed)))
                return response
            return text_response(404, "404 page not found")
        handler, request.params = found
        try:
            return await handler(request)
        except ApiError as error:
            return error_response(error)


def _overridden(fault: faults.RouteFault) -> Response:
    if isinstance(fault.body, str):
        response = text_response(fault.status, fault.body, fault.content_type or "text/plain; charset=utf-8")
    else:
        response = error_response(ApiError(fault.status, ""), fault.content_type or "application/json; charset=utf-8")
        import json  # noqa: PLC0415 - only an overridden answer needs it

        response.body = json.dumps(fault.body).encode()
    response.headers += list(fault.headers.items())
    return response


def _redirect(request: Request, path: str) -> Response:
    code, phrase = (301, "Moved Permanently") if request.method == "GET" else (307, "Temporary Redirect")
    where = path + (f"?{request.query}" if request.query else "")
    response = Response(code, headers=[("Location", where)])
    if request.method in {"GET", "HEAD"}:
        response.body = f'<a href="{where}">{phrase}</a>.\n\n'.encode()
        response.content_type = "text/html; charset=utf-8"
    return response


def build(env: Mapping[str, str] = os.environ) -> App:
    """Make an App from the environment; StartError says what is wrong with it."""
    try:
        read, warnings = settings.read(env)
    except settings.OriginError as error:
        raise StartError(f"panic: {error}") from None
    log.configure(debug=read.debug, access=env.get("OLLAMA_DOUBLE_ACCESS_LOG", "1") != "0")
    for warning in warnings:
        log.line("WARN", "config.go:48", warning.split("|")[0], value=warning)
    log.line("INFO", "routes.go:1949", "server config", env=read.shown())
    log.line("INFO", "routes.go:1951", f"Ollama cloud disabled: {str(read.no_cloud).lower()}")
    try:
        told = faults.parse(env.get("OLLAMA_DOUBLE_FAULTS", ""))
        _knobs(told, env)
        entries = catalogue.load(env.get("OLLAMA_DOUBLE_CATALOGUE", ""))
    except (ValueError, OSError) as error:
        raise StartError(f"the double's own settings are wrong: {error}") from None
    store = Store(read.models)
    app = App(read, told, store, entries, Scheduler(read, told), Downloads(store, told), own_name(env))
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
    told.update({knob: env[f"OLLAMA_DOUBLE_{name}"] for name, knob in table.items() if env.get(f"OLLAMA_DOUBLE_{name}")})
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
    except OSError as error:
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise StartError(f"listen tcp {shown}: bind: {(error.strerror or str(error)).lower()}") from None
    address = bound.getsockname()
    wildcard = address[0] in {"0.0.0.0", "::"}
    shown = f"[{'::' if wildcard else address[0]}]" if wildcard or ":" in address[0] else address[0]
    log.line("INFO", "routes.go:2008", f"Listening on {shown}:{address[1]} (version {app.version})")
    log.line("INFO", "double.py:1", f"this is a test double of Ollama ({VERSION}), named {app.name}", pid=os.getpid())
    _discover(app)
    if app.faults.start_seconds:
        wait = asyncio.create_task(stopped.wait())
        await asyncio.wait([wait], timeout=app.faults.start_seconds)
    log.line("INFO", "routes.go:2058", "vram-based default context", total_vram=_vram(app), default_num_ctx=_tier(app))
    loopback = address[0].startswith("127.") or address[0] == "::1"
    service = Service(app, guard.Guard(app.settings.origins, loopback=loopback),
                      with_admin=env.get("OLLAMA_DOUBLE_ADMIN") == "1")  # fmt: skip
    listener = Listener(bound, service.serve, app.faults, env.get("OLLAMA_DOUBLE_TLS_CERT", ""),
                        env.get("OLLAMA_DOUBLE_TLS_KEY", ""))  # fmt: skip
    await listener.serve_until(stopped)


def _bind(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        bound.bind(address)
        bound.listen(1024)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _hidden(app: App) -> bool:
    return gpu_share(app.faults.gpu) == 0 or app.settings.hidden_gpus or app.settings.library == "cpu"


def _vram(app: App) -> str:
    return "0 B" if _hidden(app) else "24.0 GiB"


def _tier(app: App) -> int:
    return 4096 if _hidden(app) else 32768


def _discover(app: App) -> None:
    log.line("INFO", "runner.go:60", "discovering available GPUs...")
    if _hidden(app):
        log.line("INFO", "types.go:50", "inference compute", id="cpu", library="cpu", compute="", name="cpu",
                 description="cpu", libdirs="ollama", driver="", pci_id="", type="", total="8.0 GiB", available="6.0 GiB")  # fmt: skip
    else:
        log.line("INFO", "types.go:32", "inference compute", id=0, filter_id="", library="CUDA", compute="8.6",
                 name="CUDA0", description="NVIDIA test double", libdirs="ollama,cuda_v13", driver="13.0",
                 pci_id="0000:01:00.0", type="discrete", total="24.0 GiB", available="23.2 GiB")  # fmt: skip


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


__all__ = ["Service", "StartError", "build", "godata", "run", "serve"]
