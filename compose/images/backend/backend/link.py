"""The link to Ollama: is it there, and one streamed conversation turn."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import httpx
import ollama

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from backend.settings import Settings

PROBE_TIMEOUT = 2.0
"""Seconds that a probe waits; well below the interval of any health check."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a probe of Ollama found; ``latency_ms`` is the whole round trip."""

    url: str
    reached: bool
    version: str | None = None
    latency_ms: float | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As the JSON object that ``/healthz`` and ``/api/info`` carry."""
        return asdict(self)


class LinkError(Exception):
    """Ollama could not give an answer: an HTTP ``status`` to pass on, what happened, what to do."""

    def __init__(self, status: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint


class Link:
    """One Ollama, for the life of the service."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        patience = httpx.Timeout(settings.answer_timeout, connect=settings.connect_timeout)
        self._chat = ollama.AsyncClient(
            host=settings.ollama_url, timeout=patience, headers=settings.headers, trust_env=False
        )
        # The client library has no call for the version. Neither client takes a proxy from the
        # environment: a server in the stack's own network must not be looked for behind one.
        self._probe = httpx.AsyncClient(timeout=PROBE_TIMEOUT, headers=settings.headers, trust_env=False)

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._probe.aclose()
        await self._chat.close()  # type: ignore[no-untyped-call]

    async def probe(self) -> Reach:
        """Ask for the version; never raises for a server that does not answer as Ollama does."""
        url = self.settings.ollama_url
        begun = time.perf_counter()
        try:
            answer = await self._probe.get(f"{url}/api/version")
            elapsed = round((time.perf_counter() - begun) * 1000, 1)
            answer.raise_for_status()
            version = answer.json()["version"]
        except httpx.HTTPStatusError as error:
            return Reach(url=url, reached=False, latency_ms=elapsed, error=f"HTTP {error.response.status_code}")
        except httpx.HTTPError as error:
            return Reach(url=url, reached=False, error=_in_words(error))
        except (ValueError, KeyError, TypeError):
            return Reach(url=url, reached=False, latency_ms=elapsed, error="something else than Ollama answers there")
        return Reach(url=url, reached=True, version=str(version), latency_ms=elapsed)

    async def models(self) -> list[str]:
        """Names of the models that the server has, newest first; empty where it cannot be asked."""
        try:
            answer = await self._probe.get(f"{self.settings.ollama_url}/api/tags")
            return [str(entry["model"]) for entry in answer.raise_for_status().json()["models"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return []

    async def chat(self, model: str, messages: Sequence[dict[str, str]]) -> AsyncIterator[ollama.ChatResponse]:
        """Stream one turn.

        Raises:
            LinkError: the server is unreachable, refuses, or ends the stream without saying that it is done
                (it may: neither ``done`` nor an error follows when its runner goes away).
        """
        done = False
        try:
            async for part in await self._chat.chat(model=model, messages=messages, stream=True):
                done = bool(part.done)
                yield part
        except ollama.ResponseError as error:
            raise self._refusal(error, model) from error
        except httpx.TimeoutException as error:
            raise LinkError(504, f"{self.settings.ollama_url} did not answer in time", _HINT_SLOW) from error
        except (httpx.HTTPError, ConnectionError) as error:
            raise LinkError(502, f"{self.settings.ollama_url}: {_in_words(error)}", _HINT_UNREACHED) from error
        if not done:
            raise LinkError(502, "the answer ended before it was complete", "try again; the server's log says why")

    def _refusal(self, error: ollama.ResponseError, model: str) -> LinkError:
        status = error.status_code if error.status_code >= 400 else 502
        if status == 404:
            hint = f"ollama pull {model}, on the server that answers at {self.settings.ollama_url}"
        elif status in (401, 403):
            hint = "the server wants credentials, or does not accept this host name"
        else:
            hint = "the server's log says why"
        return LinkError(status, error.error or f"HTTP {status}", hint)


_HINT_UNREACHED = "stackctl diagnose backend"
_HINT_SLOW = "a large model may be loading; try again, or raise OLLAMA_TIMEOUT"


def _in_words(error: Exception) -> str:
    """One line for a failed request: some of httpx's errors have no text of their own."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
