"""Where the docker client keeps its own settings."""

from __future__ import annotations

import os
from pathlib import Path


def client_settings() -> Path:
    """The directory that holds ``config.json`` and the user's own plugins."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
