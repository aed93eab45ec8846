"""What a proxy in front of an Ollama would do: credentials, a path prefix, other paths for the same calls."""

from __future__ import annotations

import base64
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from ollama_double.net.web import Request, Response, text_response

if TYPE_CHECKING:
    from ollama_double.faults import Faults

_PAGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
_DENIED = _PAGE.format("401 Authorization Required")
_ABSENT = _PAGE.format("404 Not Found")


def denied(request: Request, faults: Faults) -> Response | None:
    """Return the 401 for a request without the right credentials, or None."""
    if not faults.bearer and not faults.basic:
        return None
    given = (request.header("Authorization") or "").encode("utf-8", "replace")
    wanted = []
    if faults.bearer:
        wanted.append(f"Bearer {faults.bearer}".encode())
    if faults.basic:
        wanted.append(b"Basic " + base64.b64encode(faults.basic.encode()))
    if any(hmac.compare_digest(given, each) for each in wanted):
        return None
    challenge = 'Basic realm="ollama"' if faults.basic else 'Bearer realm="ollama"'
    response = text_response(401, _DENIED, "text/html")
    response.headers.append(("WWW-Authenticate", challenge))
    return response


def rewritten(request: Request, faults: Faults) -> Request | Response:
    """Take the prefix off and turn an alias into the path it stands for; 404 for what lies outside the prefix."""
    path = request.path
    prefix = faults.prefix.rstrip("/")
    if prefix:
        if path != prefix and not path.startswith(prefix + "/"):
            return text_response(404, _ABSENT, "text/html")
        path = path[len(prefix) :] or "/"
    path = faults.aliases.get(path, path)
    return request if path == request.path else replace(request, path=path)
