"""Where the engine listens, as far as the docker client's own settings tell."""

from __future__ import annotations

import json
import os
import sys

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
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        with open(os.path.join(folder, "config.json"), "rb") as file:
            return str(json.load(file).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def is_beside() -> bool:
    """Whether this process may enter the networks of the engine's containers: root, on Linux, by a local socket."""
    return sys.platform == "linux" and os.geteuid() == 0 and socket_path(None) is not None
