"""What uvicorn imports by name in the process that serves, so that debug can reload it."""

from __future__ import annotations

import logging
import os

from backend.app import build
from backend.settings import Settings


class NoHealthChecks(logging.Filter):
    """Keeps the health checks, every few seconds, out of the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is of a request that somebody made."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        return not any(argument in ("/healthz", "/readyz") for argument in arguments)


logging.getLogger("uvicorn.access").addFilter(NoHealthChecks())
app = build(Settings.read(os.environ))
