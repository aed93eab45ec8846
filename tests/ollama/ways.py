"""The ways in which an instance may want to be asked, and doubles that want it so."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import ssl
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from stackctl.config.url import OllamaUrl
from stackctl.ollama.server import Server
from stackctl.ollama.transport import PLACEHOLDER, Transport
from tests.contract.servers import MODELS, Pool
from tests.contract.servers import Server as Contracted
from tests.support.double import Double, start, until
from tests.support.rawhttp import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "canary-5c1e0f-token"
WAYS = ("plain", "tls", "bearer", "basic", "prefix", "endpoints", "ipv6")
OWN = {
    "/api/chat": "/own/v1/talk", "/api/generate": "/own/v1/complete", "/api/tags": "/own/v1/models",
    "/api/version": "/own/v1/version", "/": "/own/v1/health",
}  # fmt: skip


@dataclass(frozen=True)
class Authority:
    """A private CA and a server certificate of its own, as PEM files."""

    ca: Path
    certificate: Path
    key: Path


def authority(folder: Path, *names: str, days: int = 2) -> Authority:
    """Make a CA and a certificate for ``names`` (host names and addresses)."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    cert, key, ask, ext = folder / "cert.pem", folder / "key.pem", folder / "req.pem", folder / "ext"
    kinds = [f"IP:{n}" if _is_ip(n) else f"DNS:{n}" for n in names]
    ext.write_text(f"subjectAltName={','.join(kinds)}\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        [*new, "-x509", "-keyout", ca_key, "-out", ca, "-subj", "/CN=test CA", "-days", "30"],
        [*new, "-keyout", key, "-out", ask, "-subj", f"/CN={names[0]}"],
        ["openssl", "x509", "-req", "-in", ask, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", cert,
         "-days", str(days), "-extfile", ext],
    ):  # fmt: skip
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return Authority(ca, cert, key)


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass
class Way:
    """One way: what the double is started with, and the server as the client is to see it."""

    name: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    authority: Authority | None = None

    def __post_init__(self) -> None:
        faults: dict[str, Any] = {}
        if self.name == "tls":
            self.authority = authority(self.folder / "tls", "ollama.example.com")
            self.settings["tls"] = (self.authority.certificate, self.authority.key)
        elif self.name == "bearer":
            faults["bearer"] = TOKEN
            self.headers = {"Authorization": f"Bearer {TOKEN}"}
        elif self.name == "basic":
            faults["basic"] = f"anna:{TOKEN}"
            request = httpx.Request("GET", "http://x")
            flow = httpx.BasicAuth("anna", TOKEN).auth_flow(request)
            self.headers = {"Authorization": next(flow).headers["Authorization"]}
        elif self.name == "prefix":
            faults["prefix"] = "/ollama/eu"
        elif self.name == "endpoints":
            faults["aliases"] = {own: theirs for theirs, own in OWN.items()}
        self.settings["faults"] = faults
        if "Authorization" in self.headers:
            self.settings["credentials"] = self.headers

    def server(self, double: Double, **changes: Any) -> Server:
        """The double as the client is to ask it."""
        parts = urlsplit(double.url)
        prefix = self.settings["faults"].get("prefix", "")
        given: dict[str, Any] = {
            "name": double.name,
            "url": OllamaUrl(parts.scheme, parts.hostname or "", double.port, prefix),
            "timeout": 20.0,
            "headers": lambda: self.headers,
            "endpoints": OWN if self.name == "endpoints" else {},
        }
        if self.authority is not None:
            given |= {"ca_file": self.authority.ca, "server_name": "ollama.example.com"}
        return Server(**given | changes)


class WayPool(Pool):
    """The doubles of the contract suite, each to be asked in one way."""

    def __init__(self, way: Way) -> None:
        super().__init__(way.folder)
        self.way = way
        self.clients: dict[str, httpx.Client] = {}

    def _start(self, need: tuple[str, ...]) -> Double:
        env = dict(token[4:].split("=", 1) for token in need if token.startswith("env "))
        faults = dict(self.way.settings["faults"])
        if "offline" in need:
            faults["registry"] = "dns"
        if "queue-full" in need:
            env["OLLAMA_MAX_QUEUE"], faults["load_seconds"] = "1", 30
        wide, near = ("::", "::1") if self.way.name == "ipv6" else ("0.0.0.0", "127.0.0.1")
        double = start(
            self.way.folder / f"double-{len(self._running)}",
            host=wide if "wildcard" in need else near,
            name="contract-double",
            models=() if "fresh" in need else MODELS.values(),
            env=env,
            faults=faults,
            tls=self.way.settings.get("tls"),
        )
        double.credentials = dict(self.way.headers)
        self._stack.callback(double.stop)
        client = httpx.Client(transport=Transport(self.way.server(double)), timeout=None)
        self._stack.callback(client.close)
        self.clients[double.url] = client
        return double

    def ask(
        self, url: str, method: str, path: str, *, body: Any = None, headers: Any = None, timeout: float = 30
    ) -> Answer:
        """As ``tests.support.rawhttp.ask``, but through our transport."""
        content = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else None
        given = dict(headers or {})
        if content is None and method in {"POST", "PUT", "PATCH", "DELETE"} and not isinstance(body, dict | list):
            content = b""
        request = self.clients[url].build_request(
            method, f"http://{PLACEHOLDER}{path}", headers=given, content=content,
            json=body if isinstance(body, dict | list) else None,
        )  # fmt: skip
        answer = self.clients[url].send(request)
        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    @contextlib.contextmanager
    def full(self, server: Contracted) -> Iterator[None]:
        """As ``tests.contract.arrange`` fills the queue, but asked in this way: one load, and one call waiting.

        By sockets of our own: when they are closed, the calls are over.
        """
        double = server.double
        assert double is not None
        seen = self.way.server(double)
        path = seen.endpoints.get("/api/generate", f"{seen.url.prefix}/api/generate")
        body = json.dumps({"model": server.models["chat"], "prompt": "x"})
        lines = [f"POST {path} HTTP/1.1", f"Host: {seen.url.netloc}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.way.headers.items()]
        request = "\r\n".join([*lines, "", body]).encode()
        with contextlib.ExitStack() as stack:
            for wanted in (1, 2):
                client = stack.enter_context(socket.create_connection((seen.url.host, seen.url.port), 10))
                if self.way.authority is not None:
                    context = ssl.create_default_context(cafile=str(self.way.authority.ca))
                    client = stack.enter_context(context.wrap_socket(client, server_hostname=seen.server_name))
                client.sendall(request)
                until(lambda wanted=wanted: double.admin("GET", "state")["active"] >= wanted)
            yield


def contracted(pool: WayPool, given: tuple[str, ...]) -> Contracted:
    """The server for a case."""
    return pool.get(given)
