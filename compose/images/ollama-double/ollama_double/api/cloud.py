"""The endpoints that belong to the server itself or need ollama.com, which a double never reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_double.net.web import ApiError, Request, Response, json_response, text_response

if TYPE_CHECKING:
    from ollama_double.app import App


class CloudApi:
    """The handlers."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def root(self, request: Request) -> Response:
        """GET /."""
        del request
        return text_response(200, "Ollama is running", "text/plain; charset=utf-8")

    async def version(self, request: Request) -> Response:
        """GET /api/version."""
        del request
        return json_response({"version": self._app.version})

    async def status(self, request: Request) -> Response:
        """GET /api/status."""
        del request
        env, config = self._app.cloud_switches()
        source = {(False, False): "none", (True, False): "env", (False, True): "config", (True, True): "both"}
        return json_response({"cloud": {"disabled": env or config, "source": source[env, config]}})

    async def me(self, request: Request) -> Response:
        """POST /api/me."""
        del request
        if self._app.faults.cloud == "signed-out":
            raise self._app.cloud_error("", "/api/me")
        raise ApiError(503, "account unavailable")

    async def signout(self, request: Request) -> Response:
        """POST /api/signout and DELETE /api/user/keys/:key."""
        del request
        if self._app.faults.cloud == "signed-out":
            raise ApiError(401, "you are not currently signed in")
        raise ApiError(500, "there was an error signing out")

    async def web(self, request: Request) -> Response:
        """POST /api/experimental/web_search and web_fetch."""
        if not await request.body.read():
            raise ApiError(400, "missing request body")
        what = "web search is unavailable" if request.path.endswith("search") else "web fetch is unavailable"
        if any(self._app.cloud_switches()):
            raise ApiError(403, f"ollama cloud is disabled: {what}")
        raise self._app.cloud_error(what, request.path)

    async def recommendations(self, request: Request) -> Response:
        """GET /api/experimental/model-recommendations."""
        del request
        return json_response({"recommendations": []})
