"""A loopback registry of models, by the rules that Ollama's pulls ask for: blobs by a 307 to another host name.

What it does is in the model's name: `lib/big` is sound, `lib/missing` 404, `lib/toonew` 412, `lib/err500` 500,
`lib/auth` 401, `lib/corrupt` serves other bytes than its digest says, `lib/html` a web page, `lib/slow` a sound model
at 1 MB a second, `lib/direct` answers blobs without a redirect, `lib/found` with a 302.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANIFEST = re.compile(r"/v2/lib/([a-z0-9]+)/manifests/\w+\Z")
_BLOB = re.compile(r"/v2/lib/([a-z0-9]+)/blobs/(sha256:[0-9a-f]{64})\Z")
_DATA = re.compile(r"/data/([a-z0-9]+)/(sha256:[0-9a-f]{64})\Z")
_NEWER = "The model you are attempting to pull requires a newer version of Ollama."
_SLOW = 1_000_000
SIZES = {"big": 200_000, "slow": 600_000, "corrupt": 70_000, "direct": 70_000, "found": 70_000}


def _layers(model: str, salt: str) -> list[tuple[str, bytes]]:
    # Salted, because a server that has a blob of an earlier registry would not fetch it again.
    weights = hashlib.shake_128(f"{salt}{model}".encode()).digest(SIZES.get(model, 1000))
    config = {"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "1M",
              "file_type": "Q4_0", "architecture": "amd64", "os": "linux"}  # fmt: skip
    return [
        ("application/vnd.ollama.image.model", b"GGUF" + weights),
        ("application/vnd.ollama.image.template", b"{{ .Prompt }}"),
        ("application/vnd.docker.container.image.v1+json", json.dumps(config).encode()),
    ]


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _found(self, model: str, digest: str) -> bytes | None:
        layers = _layers(model, self.server.salt)
        return next((data for _, data in layers if _digest(data) == digest), None)

    def _answer(self) -> None:
        self.server.seen.append((self.command, self.path, self.headers.get("Range")))
        if match := _MANIFEST.match(self.path):
            self._manifest(match.group(1))
        elif match := _BLOB.match(self.path):
            self._blob(*match.groups())
        elif match := _DATA.match(self.path):
            self._data(*match.groups())
        else:
            self._send(404, b"not here")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _manifest(self, model: str) -> None:
        refusals = {"missing": (404, b"{}"), "toonew": (412, _NEWER.encode()), "err500": (500, b"broken"),
                    "auth": (401, b"{}"), "html": (200, b"<html>log in first</html>")}  # fmt: skip
        if model in refusals:
            self._send(*refusals[model])
            return
        layers = _layers(model, self.server.salt)
        items = [{"mediaType": kind, "digest": _digest(data), "size": len(data)} for kind, data in layers]
        value = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                 "config": items[-1], "layers": items[:-1]}  # fmt: skip
        self._send(200, json.dumps(value).encode(), Content_Type="application/vnd.docker.distribution.manifest.v2+json")

    def _blob(self, model: str, digest: str) -> None:
        found = self._found(model, digest)
        if found is None:
            self._send(404, b"{}")
        elif self.command == "HEAD" or model == "direct":
            self._send(200, found)
        else:
            port = self.server.server_port
            self._send(302 if model == "found" else 307, b"", Location=f"http://localhost:{port}/data/{model}/{digest}")

    def _data(self, model: str, digest: str) -> None:
        data = self._found(model, digest) or b""
        if model == "corrupt" and data.startswith(b"GGUF"):
            data = bytes(reversed(data))
        wanted = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        first, last = (int(wanted.group(1)), int(wanted.group(2))) if wanted else (0, len(data) - 1)
        piece = data[first : last + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(piece)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        step = _SLOW // 50 if model == "slow" else len(piece) or 1
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(piece), step):
                self.wfile.write(piece[start : start + step])
                if model == "slow":
                    time.sleep(0.02)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str, str | None]] = []
        self.salt = secrets.token_hex(8)


@contextlib.contextmanager
def model_registry() -> Iterator[_Server]:
    """Serve the registry on a free port of 127.0.0.1; `server_address` says where, `seen` what was asked."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
