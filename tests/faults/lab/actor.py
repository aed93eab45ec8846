"""The lab's own servers, one kind a process: a DNS server, proxies, wrong listeners. Standard library only.

python3 actor.py KIND '{"settings": …}'
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import socketserver
import ssl
import struct
import sys
import time
import urllib.request


def dns(zone: dict, host: str = "0.0.0.0", port: int = 53, mode: str = "zone") -> None:
    """Answer from a zone: addresses, ``NXDOMAIN``, ``SERVFAIL`` or ``DROP``; ``mode`` for every name at once."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    while True:
        data, peer = sock.recvfrom(512)
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode("ascii", "replace").lower())
            at += data[at] + 1
        kind = struct.unpack(">H", data[at + 1 : at + 3])[0]
        name = ".".join(labels)
        found = zone.get(name)
        if found is None:
            found = next((v for k, v in zone.items() if k.startswith("*.") and name.endswith(k[1:])), "NXDOMAIN")
        if mode != "zone":
            found = mode
        if found == "DROP":
            continue
        code = {"NXDOMAIN": 3, "SERVFAIL": 2}.get(found, 0) if isinstance(found, str) else 0
        answers = b""
        count = 0
        for address in found if isinstance(found, list) else []:
            six = ":" in address
            if (kind == 28) == six and kind in (1, 28):
                raw = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, address)
                answers += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 30, len(raw)) + raw
                count += 1
        head = data[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0)
        sock.sendto(head + data[12 : at + 5] + answers, peer)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def _serve(
    handler: type,
    port: int,
    host: str = "0.0.0.0",
    cert: str = "",
    key: str = "",
    six: bool = False,
    v6only: bool = False,
) -> None:
    class Server(_Server):
        address_family = socket.AF_INET6 if six else socket.AF_INET

        def server_bind(self) -> None:
            if six:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
            super().server_bind()

    server = Server((host, port), handler)
    if cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


class _Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def answer(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length and not self.consumed:
            self.rfile.read(length)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return self.server_header

    server_header = "lab"
    consumed = False


def fixed(
    port: int,
    status: int,
    body: str,
    kind: str = "text/html",
    server: str = "nginx/1.22.1",
    headers: dict | None = None,
    host: str = "0.0.0.0",
    cert: str = "",
    key: str = "",
) -> None:
    """One answer for everything."""

    class Handler(_Quiet):
        server_header = server

        def do_GET(self) -> None:
            self.answer(status, body.encode(), kind, **(headers or {}))

        do_POST = do_PUT = do_HEAD = do_CONNECT = do_GET  # noqa: N815

    _serve(Handler, port, host, cert, key)


def forward(
    port: int,
    to: str,
    host: str = "0.0.0.0",
    server: str = "nginx/1.22.1",
    vhost: str = "",
    prefix: str = "",
    max_body: int = 0,
    small: int = 0,
    set_host: str = "",
    cert: str = "",
    key: str = "",
    timeout: float = 60,
    buffer: bool = False,
) -> None:
    """A reverse proxy to ``http://to``: with a site name, a path prefix, a limit on bodies, a time-out, a TLS side."""

    class Handler(_Quiet):
        server_header = server

        def do_GET(self) -> None:
            if vhost and (self.headers.get("Host") or "").split(":")[0] != vhost:
                self.answer(404, b"<html><head><title>404 Not Found</title></head></html>", "text/html")
                return
            path = self.path
            if prefix:
                if not path.startswith(prefix):
                    self.answer(404, b"<html><title>404 Not Found</title></html>", "text/html")
                    return
                path = path[len(prefix) :] or "/"
            length = int(self.headers.get("Content-Length") or 0)
            if max_body and length > max_body:
                self.answer(413, b"<html><title>413 Request Entity Too Large</title></html>", "text/html")
                return
            body = self.rfile.read(length) if length else None
            self.consumed = True
            request = urllib.request.Request(f"http://{to}{path}", data=body, method=self.command)
            for name in ("Content-Type", "Authorization", "Origin"):
                if self.headers.get(name):
                    request.add_header(name, self.headers[name])
            request.add_header("Host", set_host or self.headers.get("Host") or to)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(request, timeout=timeout) as reply:
                    self.answer(reply.status, reply.read(), reply.headers.get("Content-Type") or "")
            except urllib.error.HTTPError as error:
                self.answer(error.code, error.read(), error.headers.get("Content-Type") or "")
            except TimeoutError:
                self.answer(504, b"<html><title>504 Gateway Time-out</title></html>", "text/html")
            except OSError as error:
                late = "timed out" in str(error)
                self.answer(504 if late else 502, b"<html><title>502 Bad Gateway</title></html>", "text/html")

        do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815

    _serve(Handler, port, host, cert, key)


def proxy(port: int, mode: str = "deny", host: str = "0.0.0.0", status: int = 503) -> None:
    """A forward proxy: ``deny`` answers like squid, ``pass`` forwards absolute URLs and CONNECT."""

    class Handler(_Quiet):
        server_header = "squid/5.7"

        def do_GET(self) -> None:
            if mode == "deny":
                self.answer(
                    status,
                    b"<html><body>ERR_DNS_FAIL</body></html>" if status != 403 else b"<html>ERR_ACCESS_DENIED</html>",
                    "text/html",
                    X_Squid_Error="ERR_DNS_FAIL 0" if status != 403 else "ERR_ACCESS_DENIED 0",
                    Via="1.1 lab (squid/5.7)",
                )
                return
            length = int(self.headers.get("Content-Length") or 0)
            request = urllib.request.Request(
                self.path, data=self.rfile.read(length) if length else None, method=self.command
            )
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=10) as reply:
                self.answer(reply.status, reply.read(), reply.headers.get("Content-Type") or "")

        def do_CONNECT(self) -> None:
            name, _, number = self.path.rpartition(":")
            other = socket.create_connection((name, int(number)), 5)
            self.send_response(200)
            self.end_headers()
            self.connection.setblocking(False)
            other.setblocking(False)
            import select  # noqa: PLC0415

            while True:
                ready, _, _ = select.select([self.connection, other], [], [], 10)
                if not ready:
                    return
                for side in ready:
                    data = side.recv(65536)
                    if not data:
                        return
                    (other if side is self.connection else self.connection).sendall(data)

        do_POST = do_GET  # noqa: N815

    _serve(Handler, port, host)


def tcp(port: int, mode: str, host: str = "0.0.0.0", text: str = "") -> None:
    """A listener that is no server: ``reset`` closes at once, ``silent`` says nothing, ``text`` says something else."""
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=64)
    kept = []
    while True:
        connection, _ = listener.accept()
        if mode == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        elif mode == "silent":
            kept.append(connection)
        else:
            with contextlib.suppress(OSError):
                connection.sendall(text.encode())
                time.sleep(0.05)
            connection.close()


def ollama(
    port: int,
    host: str = "0.0.0.0",
    models: list | None = None,
    version: str = "0.33.0",
    six: bool = False,
    v6only: bool = False,
    cert: str = "",
    key: str = "",
    redirect_slash: bool = False,
    names: str = "",
) -> None:
    """The least of an Ollama: greeting, version, tags, show."""

    class Handler(_Quiet):
        server_header = ""

        def do_GET(self) -> None:
            if "//" in self.requestline.split(" ")[1] and redirect_slash:
                self.answer(301, b"", "text/html", Location=self.path)
            elif self.path == "/":
                self.answer(200, b"Ollama is running", "text/plain; charset=utf-8")
            elif self.path == "/api/version":
                self.answer(200, json.dumps({"version": version}).encode(), "application/json; charset=utf-8")
            elif self.path == "/api/tags":
                rows = [{"name": m, "model": m} for m in models or []]
                self.answer(200, json.dumps({"models": rows}).encode(), "application/json; charset=utf-8")
            elif self.path == "/api/show":
                self.answer(404, b'{"error":"model not found"}', "application/json; charset=utf-8")
            else:
                self.answer(404, b"404 page not found", "text/plain")

        do_POST = do_GET  # noqa: N815

    _serve(Handler, port, host, cert, key, six, v6only)


if __name__ == "__main__":
    import urllib.error

    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
