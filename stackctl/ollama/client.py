"""One Ollama server: the official client for calls that change or stream, plain ``httpx`` for those that read.

The official client's models drop fields that newer servers send (capabilities,
context length), so listings are read by :mod:`stackctl.ollama.listing`. Both
talk through one :class:`stackctl.ollama.transport.Transport`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpcore
import httpx

from stackctl.ollama import classify, listing
from stackctl.ollama.errors import Kind, OllamaError
from stackctl.ollama.listing import Loaded, Model
from stackctl.ollama.pull import PullProgress, track
from stackctl.ollama.server import Server
from stackctl.ollama.text import mapping, plain, shallow
from stackctl.ollama.transport import PLACEHOLDER, Transport

if TYPE_CHECKING:
    import ollama

T = TypeVar("T")
# The host in this URL is never sent: the transport puts the server's own in its place.
_BASE = f"http://{PLACEHOLDER}"
# What the official client raises for an answer that is not what it expects (a pydantic error is a ValueError).
_NOT_OURS = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


class OllamaClient:
    """Calls to one server. Every method raises :class:`OllamaError`; close it, or use it as a context."""

    def __init__(self, server: Server, *, backend: httpcore.NetworkBackend | None = None) -> None:
        self.server = server
        self.transport = Transport(server, backend=backend)
        self._http = httpx.Client(base_url=_BASE, transport=self.transport, follow_redirects=False, timeout=None)  # noqa: S113  (the transport bounds each call)
        self._official: ollama.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    # -- reading -----------------------------------------------------------

    def version(self) -> str | None:
        """The server's version; None where it answers without one (a proxy with own paths only)."""
        try:
            document = self._json("GET", "/api/version")
        except OllamaError as error:
            if self.server.endpoints and error.kind is Kind.NOT_OLLAMA and error.status == 404:
                return None
            raise
        version = mapping(document).get("version")
        if not isinstance(version, str):
            raise classify.not_ollama(str(self.server.url), "", "JSON without a version")
        return plain(version, 60)

    def healthy(self) -> None:
        """Ask the instance's own health path; any 2xx answer counts."""
        self._read("GET", "/")

    def tags(self) -> list[Model]:
        """The models in its store."""
        return listing.tags(self._listing("/api/tags"))

    def ps(self) -> list[Loaded]:
        """The models in its memory."""
        return listing.loaded(self._listing("/api/ps"))

    def show(self, model: str) -> dict[str, Any]:
        """All about a model, as the server sends it."""
        return mapping(shallow(self._json("POST", "/api/show", {"model": model})))

    def detailed(self, model: Model) -> Model:
        """The model with context length and capabilities, asked for where the listing lacks them."""
        if model.context_length and model.capabilities:
            return model
        try:
            length, capabilities = listing.show_details(self.show(model.name))
        except OllamaError:
            return model
        return replace(
            model,
            context_length=model.context_length or length,
            capabilities=model.capabilities or capabilities,
        )

    # -- changing ----------------------------------------------------------

    def delete(self, model: str) -> None:
        """Remove a model from its store."""
        self._called(lambda client: client.delete(model))

    def unload(self, model: str) -> None:
        """Take a model out of memory."""
        self._called(lambda client: client.generate(model, keep_alive=0))

    def pull(
        self, model: str, *, insecure: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> Iterator[PullProgress]:
        """Progress of a pull; raises where it ends in anything but success. Closing the iterator stops the pull."""
        last: PullProgress | None = None
        for progress in track(model, self._pull_lines(model, insecure=insecure), clock):
            last = progress
            if progress.stage == "failed":
                break
            yield progress
        if last is not None and last.stage == "failed":
            if last.error.startswith("the connection ended"):
                raise OllamaError(
                    Kind.CUT, f"pulling {model}: {last.error}", hint="run it again: what was fetched is kept"
                )
            error = classify.from_text(last.error)
            raise OllamaError(error.kind, f"pulling {model}: {error.message}", hint=error.hint.replace("MODEL", model))

    def _pull_lines(self, model: str, *, insecure: bool) -> Iterator[Mapping[str, Any]]:
        with self._official_errors():
            stream = self._client().pull(model, insecure=insecure, stream=True)
        while True:
            try:
                with self._official_errors():
                    part = next(stream, None)
            except OllamaError as error:
                if error.status is not None or error.kind in (Kind.CUT, Kind.TIMEOUT, Kind.NOT_OLLAMA):
                    raise
                # A line with an error: the tracker decides, as for every other line.
                raise OllamaError(
                    error.kind, f"pulling {model}: {error.message}", hint=error.hint.replace("MODEL", model)
                ) from None
            if part is None:
                return
            yield part.model_dump(exclude_none=True)

    def chat(self, model: str, messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Lines of an answer as plain mappings; the last has ``done``. A stream that ends without it raises."""
        with self._official_errors():
            stream = self._client().chat(model=model, messages=list(messages), stream=True)
        done = False
        while not done:
            with self._official_errors():
                part = next(stream, None)
            if part is None:
                raise OllamaError(Kind.CUT, f"{self.server.url} ended its answer without saying that it is done")
            line = part.model_dump(exclude_none=True)
            done = bool(line.get("done"))
            yield line

    # -- how ---------------------------------------------------------------

    def _client(self) -> ollama.Client:
        import ollama  # noqa: PLC0415  (0.1 s, and not needed to ask how a server is)

        if self._official is None:
            self._official = ollama.Client(host=_BASE, transport=self.transport, follow_redirects=False)
        return self._official

    def _called(self, call: Callable[[ollama.Client], T]) -> T:
        with self._official_errors():
            return call(self._client())

    @contextmanager
    def _official_errors(self) -> Iterator[None]:
        from ollama import ResponseError  # noqa: PLC0415  (0.1 s)

        try:
            yield
        except ResponseError as error:
            text = error.error if isinstance(error.error, str) else json.dumps(error.error)[:4000]
            if error.status_code < 0:
                raise classify.from_text(text) from None
            # The official client has taken the text out of `{"error": …}`; a text that is no JSON came as it was.
            body = text if text.lstrip().startswith(("<", "{")) or not text else json.dumps({"error": text})
            raise classify.from_status(error.status_code, body, url=str(self.server.url)) from None
        except _NOT_OURS as error:
            raise classify.not_ollama(
                str(self.server.url), "", f"something that cannot be read ({type(error).__name__})"
            ) from error

    def _listing(self, path: str) -> Any:
        document = self._json("GET", path)
        if not isinstance(document, dict) or not ({"models", "data"} & set(document)):
            raise classify.not_ollama(
                f"{self.server.url}{self.server.endpoints.get(path, path)}", "", "JSON without a list of models"
            )
        return document

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        content = self._read(method, path, body)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            shown = content[:200].decode("utf-8", "replace")
            raise classify.not_ollama(f"{self.server.url}{self.server.endpoints.get(path, path)}", shown) from None

    def _read(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        response = self._http.request(method, path, json=body)
        if response.is_success:
            return response.content
        text = response.content[:65536].decode("utf-8", "replace")
        raise classify.from_status(response.status_code, text, url=str(self.server.url), headers=response.headers)
