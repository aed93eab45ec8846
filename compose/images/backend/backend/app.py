"""The routes.

====================  ==============================================================================
``GET /``             the chat page
``GET /healthz``      200 while the service lives; the body says whether Ollama is reached
``GET /readyz``       the same body, with 503 while Ollama is not reached
``GET /api/info``     service, model, the Ollama that answers and the models it has
``POST /chat``        one turn, streamed as NDJSON (see :mod:`backend.turn`)
====================  ==============================================================================
"""

from __future__ import annotations

import logging
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from backend import __version__
from backend.headers import SafeHeaders
from backend.link import Link, LinkError
from backend.turn import MAX_BODY, BadRequest, Turn, lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from backend.settings import Settings

STATIC = Path(__file__).with_name("static")
log = logging.getLogger("uvicorn.error")


def build(settings: Settings) -> Starlette:
    """Make the application for these settings."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.link = Link(settings)
        log.info("Ollama is %s, model %s", settings.ollama_url, settings.model)
        yield
        await app.state.link.close()

    return Starlette(
        debug=settings.debug,
        lifespan=lifespan,
        middleware=[Middleware(SafeHeaders)],
        routes=[
            Route("/", page),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/api/info", info),
            Route("/chat", chat, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
    )


async def page(_request: Request) -> Response:
    """Give the chat page."""
    return FileResponse(STATIC / "index.html")


async def healthz(request: Request) -> JSONResponse:
    """Say that the service lives, and in the body what it knows of Ollama."""
    reach = await _link(request).probe()
    return JSONResponse({"status": "ok", "ollama": reach.as_json()})


async def readyz(request: Request) -> JSONResponse:
    """Say whether the service can do its work: 503 while Ollama is not reached."""
    reach = await _link(request).probe()
    status = "ok" if reach.reached else "no Ollama"
    return JSONResponse({"status": status, "ollama": reach.as_json()}, status_code=200 if reach.reached else 503)


async def info(request: Request) -> JSONResponse:
    """Say what this service is and which Ollama it uses."""
    link = _link(request)
    reach = await link.probe()
    models = await link.models() if reach.reached else []
    return JSONResponse(
        {
            "service": "backend",
            "version": __version__,
            "debug": link.settings.debug,
            "model": link.settings.model,
            "model_present": _present(link.settings.model, models) if reach.reached else None,
            "models": models,
            "ollama": reach.as_json(),
        }
    )


async def chat(request: Request) -> Response:
    """Stream one turn; a failure before the first word has its own HTTP status."""
    try:
        turn = Turn.parse(await _body(request))
    except BadRequest as error:
        return JSONResponse({"error": str(error), "hint": "POST /chat takes a JSON object"}, status_code=400)
    answer = lines(_link(request), turn)
    try:
        # The first line decides the status, so it is waited for before the status is sent.
        first = await anext(answer)
    except LinkError as error:
        return JSONResponse({"error": error.message, "hint": error.hint}, status_code=error.status)
    return StreamingResponse(_after(first, answer), media_type="application/x-ndjson")


async def _after(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    # Closed with the response, so that a reader who leaves ends the work of the server too.
    async with aclosing(rest):
        yield first
        async for line in rest:
            yield line


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise BadRequest(f"the body is longer than {MAX_BODY} bytes")
    except ClientDisconnect:
        raise BadRequest("the request was not sent to its end") from None
    return bytes(body)


def _link(request: Request) -> Link:
    link: Link = request.app.state.link
    return link


def _present(model: str, models: list[str]) -> bool:
    """Whether the server has the model; a name without a tag means ``latest``."""
    wanted = model if ":" in model.rpartition("/")[2] else f"{model}:latest"
    return wanted.lower() in (name.lower() for name in models)
