"""Compose's own program, started as the docker client starts it, for questions that need no engine.

``docker compose`` starts three programs: the client, the plugin to ask what it
is, and the plugin again to do the work; the first two take half of the time of
``docker compose config``. A client that is no plain program (a wrapper, a
script, another tool's) may do more than that, and so may one with settings for
its plugins: those are always asked themselves.

The places and their order, and the variable that tells a plugin that it was
started by the client: Docker CLI 28, ``cli-plugins/manager``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from stackctl.adapters.clientsettings import client_settings

STARTED_BY = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"
NAME = "docker-compose"
PLACES = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_ELF = b"\x7fELF"
_ABOUT_PLUGINS = ("cliPluginsExtraDirs", "plugins", "aliases")


def find(client: str) -> str | None:
    """The Compose plugin that the docker client at ``client`` would start, or None where only it knows."""
    if not _is_program(Path(client)):
        return None
    try:
        kept = json.loads((client_settings() / "config.json").read_bytes())
    except FileNotFoundError:
        kept = {}
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or any(kept.get(name) for name in _ABOUT_PLUGINS):
        return None
    for place in (client_settings() / "cli-plugins", *map(Path, PLACES)):
        candidate = place / NAME
        if candidate.exists():
            return str(candidate) if _is_program(candidate) else None
    return None


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == _ELF and os.access(path, os.X_OK)
    except OSError:
        return False
