"""One Ollama server as the client needs it: its address, TLS settings, paths and headers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackctl.config.models import Instance
from stackctl.config.secrets import Secret
from stackctl.config.url import OllamaUrl
from stackctl.errors import WrongInput

Resolve = Callable[[str], Secret]
"""Text with references (``${NAME}``, ``${file:…}``, ``${cmd:…}``) to its value; raises ``WrongInput``."""

# Ollama's own path to the key of `endpoints` that replaces it.
ENDPOINTS = {
    "/api/chat": "chat",
    "/api/generate": "generate",
    "/api/tags": "list_models",
    "/": "health",
    "/api/version": "version",
}


@dataclass(frozen=True)
class Server:
    """Where a server is and how to ask it. ``timeout`` in seconds; ``headers`` reads secrets only when it is called."""

    name: str
    url: OllamaUrl
    address: str | None = None
    timeout: float = 60.0
    priority: int = 5
    enabled: bool = True
    verify: bool = True
    ca_file: Path | None = None
    server_name: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    headers: Callable[[], Mapping[str, str]] = field(default=dict, repr=False, compare=False)

    @classmethod
    def from_instance(cls, name: str, instance: Instance, *, directory: Path, resolve: Resolve) -> Server:
        """The server that an entry of ``instances`` describes; files are relative to ``directory``."""
        own = instance.endpoints.model_dump(exclude_none=True)
        return cls(
            name=name,
            url=instance.url,
            address=instance.address,
            timeout=instance.timeout,
            priority=instance.priority,
            enabled=instance.enabled,
            verify=instance.tls.verify,
            ca_file=directory / instance.tls.ca_file if instance.tls.ca_file else None,
            server_name=instance.tls.server_name,
            endpoints={path: own[key] for path, key in ENDPOINTS.items() if key in own},
            headers=lambda: _headers(name, instance, resolve),
        )

    def path(self, asked: str) -> str:
        """The path on the wire for one of Ollama's own paths."""
        return self.url.prefix + self.endpoints.get(asked, asked)


def _headers(name: str, instance: Instance, resolve: Resolve) -> Mapping[str, str]:
    found = {header: resolve(text).reveal() for header, text in instance.headers.items()}
    if instance.auth and instance.auth.bearer:
        found["Authorization"] = f"Bearer {resolve(str(instance.auth.bearer)).reveal()}"
    elif instance.auth and instance.auth.basic:
        pair = f"{instance.auth.basic.user}:{resolve(str(instance.auth.basic.password)).reveal()}"
        found["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    for header, value in found.items():
        if any(c in value for c in "\r\n\0") or not value.isascii():
            raise WrongInput(
                f'the header "{header}" of the instance "{name}" would hold a character that no header may have',
                hint="look for a line break or a non-ASCII character in what its reference supplies",
            )
    return found
