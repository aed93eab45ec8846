"""A raw HTTP answer, read by us: bounded, and never trusted."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_STATUS = re.compile(rb"^HTTP/\d(?:\.\d)? (\d{3})")
MAX_HEADERS = 100


@dataclass(frozen=True)
class HttpReply:
    """One answer. ``status`` is 0 where the bytes are no HTTP; header names are lower case, first value kept."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @property
    def text(self) -> str:
        """The body as text, undecodable bytes replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def type(self) -> str:
        """The media type without parameters, lower case; empty where there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def json(self) -> Any:
        """The body as JSON, or None where it is none (or nested beyond reason)."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def error(self) -> str:
        """The text of an Ollama or OpenAI error, or empty."""
        document = self.json
        if not isinstance(document, dict):
            return ""
        error = document.get("error")
        if isinstance(error, dict):
            error = error.get("message")
        return error if isinstance(error, str) else ""

    @property
    def is_html(self) -> bool:
        """Whether a page came back where an API was asked."""
        return self.type == "text/html" or self.body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def read(raw: bytes) -> HttpReply:
    """Read the bytes of one answer; a body cut by the limit is kept as far as it came."""
    match = _STATUS.match(raw)
    if match is None:
        return HttpReply(0, {}, raw)
    head, _, body = raw.partition(b"\r\n\r\n")
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n")[1 : MAX_HEADERS + 1]:
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(name.decode("latin-1").strip().lower(), value.decode("latin-1").strip()[:2000])
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _unchunked(body)
    return HttpReply(int(match[1]), headers, body)


def _unchunked(data: bytes) -> bytes:
    # By its place: to cut each chunk off would copy the rest as often as there are chunks.
    out, at = bytearray(), 0
    while (end := data.find(b"\r\n", at)) >= 0:
        try:
            size = int(data[at:end].split(b";")[0], 16)
        except ValueError:
            break
        if size <= 0:
            break
        out += data[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return bytes(out)


def model_names(reply: HttpReply) -> list[str] | None:
    """The models of an ``/api/tags`` answer (``/v1/models`` too), or None where it is neither."""
    document = reply.json
    if reply.status != 200 or not isinstance(document, dict):
        return None
    rows = document.get("models", document.get("data", ...))
    if rows is None:
        return []
    if not isinstance(rows, list):
        return None
    names = [row.get("name") or row.get("model") or row.get("id") for row in rows[:10_000] if isinstance(row, dict)]
    return [name for name in names if isinstance(name, str)]


def version(reply: HttpReply) -> str | None:
    """The version of an ``/api/version`` answer, or None."""
    document = reply.json
    if reply.status != 200 or not isinstance(document, dict):
        return None
    value = document.get("version")
    return value[:40] if isinstance(value, str) else None


def full_name(model: str) -> str:
    """A model name as Ollama compares it: lower case, with its tag."""
    short = model.strip().lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return short if ":" in short.rsplit("/", 1)[-1] else f"{short}:latest"
