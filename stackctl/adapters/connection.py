"""The HTTP connection of the Engine API.

Apart, because `init` and `render` never ask the API, and Python's HTTP client
with its mail and TLS parts takes as long to load as the rest of the adapters.
"""

from __future__ import annotations

import http.client

HTTPException = http.client.HTTPException


class Connection(http.client.HTTPConnection):
    """Closed with the thread that it belongs to; nobody else knows when that ends."""

    def __del__(self) -> None:
        self.close()
