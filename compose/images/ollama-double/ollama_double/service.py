"""The way of one request: faults, the front, the table of routes, the guard, the handler, the access line."""

from __future__ import annotations

import asyncio
import posixpath
import re
import time
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING

from ollama_double import faults, log
from ollama_double.api import admin, routes
from ollama_double.net import front, guard, hostile
from ollama_double.net.connection import BadRequestError, GoneError
from ollama_double.net.web import (
    JSON_UTF8,
    ApiError,
    CutError,
    Handler,
    Request,
    Response,
    error_response,
    json_response,
    text_response,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ollama_double.app import App
    from ollama_double.net.connection import Connection

_READING = 0.005
"""Seconds that the real server takes to read its models from the disk."""
_CANCELLED = {"/api/tags": 0.88, "/v1/models": 0.73}
"""Which answers a half-closed request loses, and how often: as counted on the real server."""
_WORKING = re.compile(r"/api/(generate|chat|embed|embeddings|pull|push|create)|/v1/(?!models).*")
"""Calls that end with the client's sending half, as they end with the client."""


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
                connection.bind()
                return await hostile.answer(fault, connection)
            if fault.status:
                return _overridden(fault)
        refusal = front.denied(request, app.faults)
        if refusal is not None:
            return refusal
        inner = front.rewritten(request, app.faults)
        if isinstance(inner, Response):
            return inner
        response = await self._routed(inner, connection)
        if inner.path in _CANCELLED and await connection.heard_end(_READING):
            rate = app.faults.half_closed if app.faults.half_closed >= 0 else _CANCELLED[inner.path]
            if app.dice.random() < rate:
                return json_response({"error": "context canceled"}, 500)
        return response

    async def _routed(self, request: Request, connection: Connection) -> Response:
        if self._version != self._app.version:
            self._routes, self._version = routes.table(self._app), self._app.version
        clean = posixpath.normpath("/" + request.path.lstrip("/")) if request.path != "/" else "/"
        if clean != request.path.rstrip("/") and clean != request.path:
            slash = "/" if request.path.endswith("/") and clean != "/" else ""
            return _redirect(request, clean + slash, 307)
        found = self._routes.find(request.method, request.path)
        if found is None and len(request.path) > 1:
            other = request.path[:-1] if request.path.endswith("/") else request.path + "/"
            if self._routes.find(request.method, other):
                return _redirect(request, other, 301 if request.method == "GET" else 307)
        if _WORKING.fullmatch(request.path):
            connection.bind()
        verdict = self._guard.check(request)
        response = verdict.answer or await self._handled(request, found)
        response.headers[:0] = [pair for pair in verdict.headers if pair not in response.headers]
        return response

    async def _handled(self, request: Request, found: tuple[Handler, dict[str, str]] | None) -> Response:
        if found is None:
            allowed = self._routes.allowed(request.path)
            if allowed and self._app.at_least(0, 7):
                response = text_response(405, "405 method not allowed")
                response.headers.append(("Allow", ", ".join(allowed)))
                return response
            return text_response(404, "404 page not found")
        handler, request.params = found
        try:
            return await handler(request)
        except ApiError as error:
            return error_response(error)
        except (CutError, GoneError, BadRequestError):
            raise
        except Exception:  # noqa: BLE001 - as gin's Recovery: one call's panic is an empty 500
            log.raw(traceback.format_exc())
            return Response(500)


def _overridden(fault: faults.RouteFault) -> Response:
    if isinstance(fault.body, str):
        response = text_response(fault.status, fault.body, fault.content_type or "text/plain; charset=utf-8")
    else:
        response = json_response(fault.body, fault.status, fault.content_type or JSON_UTF8)
    response.headers += list(fault.headers.items())
    return response


def _redirect(request: Request, path: str, code: int) -> Response:
    phrase = HTTPStatus(code).phrase
    where = path + (f"?{request.query}" if request.query else "")
    response = Response(code, headers=[("Location", where)])
    if request.method in {"GET", "HEAD"}:
        response.body = f'<a href="{where}">{phrase}</a>.\n\n'.encode()
        response.content_type = "text/html; charset=utf-8"
    return response
