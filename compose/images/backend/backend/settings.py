"""What the environment tells the service, read once at start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = frozenset({"1", "true", "yes", "on"})


class SettingsError(ValueError):
    """A variable that the service cannot start with."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where Ollama is and how to talk to it; times in seconds."""

    ollama_url: str = "http://ollama:11434"
    model: str = "llama3.2:1b"
    token: str = field(default="", repr=False)
    connect_timeout: float = 3.0
    answer_timeout: float = 300.0
    debug: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Headers for every request to Ollama: the bearer token, where there is one."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read ``OLLAMA_URL``, ``OLLAMA_MODEL``, ``OLLAMA_TOKEN``, ``OLLAMA_TIMEOUT`` and ``BACKEND_DEBUG``.

        An empty variable counts as not set.

        Raises:
            SettingsError: the URL has no http scheme, or the time is no positive number.
        """
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        url = given.get("OLLAMA_URL", cls.ollama_url).rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"OLLAMA_URL={url} does not begin with http:// or https://")
        try:
            answer_timeout = float(given.get("OLLAMA_TIMEOUT", cls.answer_timeout))
        except ValueError:
            answer_timeout = 0.0
        if answer_timeout <= 0:
            raise SettingsError("OLLAMA_TIMEOUT is not a positive number of seconds")
        return cls(
            ollama_url=url,
            model=given.get("OLLAMA_MODEL", cls.model),
            token=given.get("OLLAMA_TOKEN", ""),
            answer_timeout=answer_timeout,
            debug=given.get("BACKEND_DEBUG", "").lower() in _TRUE,
        )
