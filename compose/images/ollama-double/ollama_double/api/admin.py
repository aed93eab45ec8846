"""The `/_double/` routes, on only where OLLAMA_DOUBLE_ADMIN is 1: faults while it runs, and what was asked of it."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

from ollama_double.faults import Faults
from ollama_double.net.web import Request, Response, json_response

if TYPE_CHECKING:
    from ollama_double.app import App

PREFIX = "/_double/"
KEPT = 1000


async def answer(app: App, request: Request) -> Response:
    """Answer one of the double's own routes.

    `GET/PATCH/PUT/DELETE faults`, `GET/DELETE requests`, `GET state`, `POST unload`, `POST crash`, `POST wipe`,
    `POST stop`.
    """
    what = (request.method, request.path.removeprefix(PREFIX))
    try:
        return await _answer(app, request, what)
    except ValueError as error:
        return json_response({"error": str(error)}, 400)


async def _answer(app: App, request: Request, what: tuple[str, str]) -> Response:
    match what:
        case ("GET", "faults"):
            return json_response(app.faults.shown())
        case ("PATCH", "faults"):
            app.faults.update(json.loads(await request.body.read()))
            return json_response(app.faults.shown())
        case ("PUT", "faults") | ("DELETE", "faults"):
            body = await request.body.read()
            fresh = Faults()
            fresh.update(json.loads(body) if body and request.method == "PUT" else {})
            vars(app.faults).update(vars(fresh))
            return json_response(app.faults.shown())
        case ("GET", "requests"):
            return json_response(app.journal)
        case ("DELETE", "requests"):
            app.journal.clear()
            return Response(204)
        case ("GET", "state"):
            loaded = [runner.model.name.short for runner in app.scheduler.loaded()]
            state = {"double": True, "name": app.name, "version": app.version, "loaded": loaded}
            return json_response(state | {"active": app.active, "served": app.served})
        case ("POST", "unload"):
            for runner in app.scheduler.loaded():
                app.scheduler.unload(runner.model)
            return Response(204)
        case ("POST", "crash"):
            app.scheduler.crash()
            return Response(204)
        case ("POST", "wipe"):
            app.store.wipe()
            return Response(204)
        case ("POST", "stop"):
            os.kill(os.getpid(), signal.SIGTERM)
            return Response(204)
        case _:
            return json_response({"error": "no such route of the double"}, 404)
