"""The command line's HTTP: OLLAMA_HOST as it is, through HTTP_PROXY unless the target is loopback."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ollama_double import VERSION, hostaddr
from ollama_double.command import CliError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOWN = "could not connect to ollama server, run 'ollama serve' to start it"
_WRONG = "something went wrong, please see the ollama server logs for details"


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _send(method: str, path: str, body: dict[str, Any] | None) -> http.client.HTTPResponse:
    target = hostaddr.parse(os.environ.get("OLLAMA_HOST"))
    host, port, where = target.host, target.port, f"{target.path}{path}"
    proxy = "" if _loopback(host) else os.environ.get("HTTP_PROXY") or os.environ.get("http_proxy") or ""
    exempt = (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(",")
    if proxy and "*" not in exempt and host not in [part.strip() for part in exempt]:
        where = f"{target.url}{path}"
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host, port = parts.hostname or "", parts.port or 80
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    connection = kind(host or "0.0.0.0", port)
    data = None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": f"ollama/{VERSION}"}
    connection.request(method, where, data, headers)
    return connection.getresponse()


def _answer(method: str, path: str, body: dict[str, Any] | None) -> http.client.HTTPResponse:
    try:
        return _send(method, path, body)
    except ConnectionRefusedError:
        raise CliError(_DOWN) from None
    except (OSError, http.client.HTTPException) as error:
        verb = method.capitalize()
        url = f"{hostaddr.parse(os.environ.get('OLLAMA_HOST')).url}{path}"
        raise CliError(f'{verb} "{url}": {error}') from None


def heartbeat() -> None:
    """Ask whether the server is there; CliError says that it is not."""
    answer = _answer("HEAD", "/", None)
    answer.read()
    if answer.status >= 400:
        raise CliError(_WRONG if answer.status >= 500 else f"{answer.status} {answer.reason}")


def call(method: str, path: str, body: dict[str, Any] | None = None, *, missing_is_fine: bool = False) -> Any:
    """Send one call and return the JSON of its answer; CliError carries the server's error."""
    answer = _answer(method, path, body)
    data = answer.read()
    if missing_is_fine and answer.status == 404:
        return None
    if answer.status >= 400:
        raise CliError(_error(data, answer))
    try:
        return json.loads(data) if data else None
    except ValueError:
        raise CliError(
            f"invalid character '{data[:1].decode('utf-8', 'replace')}' looking for beginning of value"
        ) from None


def lines(method: str, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Send one call and yield its lines; a line with an error ends it as CliError."""
    answer = _answer(method, path, body)
    if answer.status >= 400:
        raise CliError(_error(answer.read(), answer))
    for raw in answer:
        if raw.strip():
            line = json.loads(raw)
            if line.get("error"):
                raise CliError(line["error"])
            yield line


def _error(data: bytes, answer: http.client.HTTPResponse) -> str:
    try:
        return str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        return _WRONG if answer.status >= 500 else f"{answer.status} {answer.reason}"
