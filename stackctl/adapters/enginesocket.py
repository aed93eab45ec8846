"""Where the engine listens, as far as the docker client's own settings tell."""

from __future__ import annotations

import json
import os

from stackctl.adapters.clientsettings import client_settings

DEFAULT_SOCKET = "/var/run/docker.sock"


def socket_path(context: str | None) -> str | None:
    """The unix socket of the engine that ``docker`` would use, or None where only the client knows the way.

    The client's own order: ``--context``, ``DOCKER_HOST``, ``DOCKER_CONTEXT``,
    ``currentContext`` of its configuration, the default socket.
    """
    if context not in (None, "default"):
        return None
    if context is None:
        if host := os.environ.get("DOCKER_HOST"):
            return host.removeprefix("unix://") if host.startswith("unix://") else None
        chosen = os.environ.get("DOCKER_CONTEXT") or _current_context()
        if chosen not in ("", "default"):
            return None
    return DEFAULT_SOCKET


def _current_context() -> str:
    try:
        return str(json.loads((client_settings() / "config.json").read_bytes()).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""
