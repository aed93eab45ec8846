"""Start the service: ``python3 -m backend``; ``BACKEND_HOST`` and ``BACKEND_PORT`` say where it listens."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import uvicorn

from backend.settings import Settings, SettingsError


def main() -> int:
    """Serve until told to stop; 2 where the environment is wrong."""
    try:
        settings = Settings.read(os.environ)
        port = int(os.environ.get("BACKEND_PORT") or 8000)
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"backend: {error}\n")
        return 2
    uvicorn.run(
        "backend.serve:app",
        host=os.environ.get("BACKEND_HOST") or "0.0.0.0",  # a container's own interface
        port=port,
        log_level="debug" if settings.debug else "info",
        reload=settings.debug,
        reload_dirs=[str(Path(__file__).parent)] if settings.debug else None,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
