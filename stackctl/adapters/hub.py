"""Many connections out of one container, carried by one process of the docker client.

A process for each would cost more than a tenth of a second of both machines, and forty
servers asked at once would be told unreachable for want of it.
"""

from __future__ import annotations

import base64
import os
import queue
import selectors
import socket
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpcore

from stackctl.adapters.hubscripts import SCRIPTS, SHELL
from stackctl.adapters.relaystream import SocketStream

GREETING = b"stackctl-hub "
START_WITHIN = 15.0
# A server that floods is left; what an answer may hold is far less.
MOST_WAITING = 4 << 20


class NoHub(Exception):
    """Nothing in the image can carry connections this way."""


def within(docker: Sequence[str], container: str) -> list[str]:
    """The command of a hub inside a container."""
    names = [flag for name in SCRIPTS for flag in ("--env", name)]
    return [*docker, "exec", "--interactive", *names, container, "sh", "-c", SHELL]


def beside(docker: Sequence[str], container: str, image: str) -> list[str]:
    """The command of one in a short-lived container in the network of another."""
    names = [flag for name in SCRIPTS for flag in ("--env", name)]
    flags = ["--rm", "--interactive", "--init", "--pull", "never", "--log-driver", "none"]
    flags += ["--network", f"container:{container}", "--label", "io.stackctl.role=probe"]
    return [*docker, "run", *flags, *names, "--entrypoint", "sh", image, "-c", SHELL]


@dataclass
class _Line:
    """One connection: our end of it, and the reason or None once it stands."""

    socket: socket.socket
    stands: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)
    waiting: bytearray = field(default_factory=bytearray)
    over: bool = False
    reason: str = ""


class _HubStream(SocketStream):
    """Says why it ended before a single byte: ``nc`` says that it stands before it is connected."""

    def __init__(self, sock: socket.socket, line: _Line) -> None:
        super().__init__(sock)
        self._line, self._silent = line, True

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = super().read(max_bytes, timeout)
        if not data and self._silent and self._line.reason:
            raise httpcore.ConnectError(self._line.reason)
        self._silent = self._silent and not data
        return data

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            return super().start_tls(ssl_context, server_hostname, timeout)
        except httpcore.ConnectError:
            if self._line.reason:
                raise httpcore.ConnectError(self._line.reason) from None
            raise


class Hub(httpcore.NetworkBackend):
    """Connections from one place. Raises :class:`NoHub` where it does not start."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, **SCRIPTS}, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._lines: dict[str, _Line] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ring = socket.socketpair()
        self._stood: deque[str] = deque()
        self._thread = threading.Thread(target=self._run, daemon=True, name="hub")
        self._read = bytearray()
        self._in_hex = False
        try:
            self._greet()
        except BaseException:
            self.close()
            raise
        self._selector.register(self._out, selectors.EVENT_READ)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._thread.is_alive():
            self._thread.join(2)
        self._selector.close()
        for end in (self._ring, self._bell, self._process.stdout):
            if end is not None:
                end.close()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002  (chosen inside)
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """A connection to ``host:port`` as it is seen there."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        line = _Line(theirs)
        with self._lock:
            self._count += 1
            number = str(self._count)
            self._lines[number] = line
        try:
            self._send(f"C {number} {host.strip('[]')} {port}")
            reason = line.stands.get(timeout=timeout)
        except queue.Empty:
            self._leave(number)
            ours.close()
            raise httpcore.ConnectTimeout("no connection in time") from None
        if reason is not None:
            ours.close()
            raise httpcore.ConnectError(reason or "the connection was closed")
        self._stood.append(number)
        with suppress(OSError):  # the container's side has ended, which the stream will tell
            self._ring.send(b".")
        return _HubStream(ours, line)

    # -- the thread that carries -----------------------------------------

    def _greet(self) -> None:
        end = time.monotonic() + START_WITHIN
        with selectors.DefaultSelector() as only:
            only.register(self._out, selectors.EVENT_READ)
            while b"\n" not in self._read.partition(GREETING)[2]:
                if not only.select(max(0.0, end - time.monotonic())):
                    raise NoHub("it did not start in time")
                chunk = os.read(self._out, 4096)
                if not chunk or len(self._read) > MOST_WAITING:
                    raise NoHub("it did not start")
                self._read += chunk
        way, _, self._read = self._read.partition(GREETING)[2].partition(b"\n")
        self._in_hex = way == b"hex"

    def _run(self) -> None:
        while self._turn():
            continue

    def _turn(self) -> bool:
        for key, events in self._selector.select():
            if key.fd == self._out:
                if not self._take():
                    return False
            elif key.fileobj is self._bell:
                self._bell.recv(4096)
                while self._stood:
                    self._watch(self._stood.popleft())
            else:
                self._carry(str(key.data), events)
        return True

    def _take(self) -> bool:
        """What the container says; False when it has ended."""
        chunk = os.read(self._out, 65536)
        self._read += chunk
        *whole, rest = self._read.split(b"\n")
        self._read = bytearray(rest)
        for text in whole:
            kind, _, more = text.decode("utf-8", "replace").partition(" ")
            number, _, value = more.partition(" ")
            if number in self._lines:
                self._said(kind, number, value)
        if not chunk or len(rest) > MOST_WAITING:
            for number in list(self._lines):
                self._said("E", number, "the container's relay has ended")
            return False
        return True

    def _said(self, kind: str, number: str, value: str) -> None:
        line = self._lines[number]
        if kind == "O":
            line.stands.put(None)
        elif kind == "E":
            line.reason, line.over = value, True
            line.stands.put(value)
            self._flush(number, line)
        elif kind == "D":
            with suppress(ValueError):
                line.waiting += bytes.fromhex(value) if self._in_hex else base64.b64decode(value)
            if len(line.waiting) > MOST_WAITING:
                self._leave(number)
            else:
                self._flush(number, line)

    def _watch(self, number: str) -> None:
        line = self._lines.get(number)
        if line is not None:
            self._selector.register(line.socket, selectors.EVENT_READ, number)
            self._flush(number, line)

    def _carry(self, number: str, events: int) -> None:
        line = self._lines.get(number)
        if line is None:
            return
        if events & selectors.EVENT_READ:
            try:
                data = line.socket.recv(32768)
            except BlockingIOError:
                data = b""
            except OSError:
                data = b""
            if not data:
                self._leave(number)
                return
            escaped = "".join(f"\\x{byte:02x}" for byte in data) if self._in_hex else base64.b64encode(data).decode()
            self._send(f"D {number} {escaped}")
        if events & selectors.EVENT_WRITE:
            self._flush(number, line)

    def _flush(self, number: str, line: _Line) -> None:
        """Hand on what has come, as far as it is taken."""
        try:
            while line.waiting:
                del line.waiting[: line.socket.send(line.waiting)]
        except BlockingIOError:
            pass
        except OSError:
            self._leave(number)
            return
        if line.over and not line.waiting:
            self._leave(number)
        elif line.socket in self._selector.get_map():
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.waiting else 0)
            self._selector.modify(line.socket, wanted, number)

    def _leave(self, number: str) -> None:
        with self._lock:
            line = self._lines.pop(number, None)
        if line is None:
            return
        with suppress(KeyError, ValueError):
            self._selector.unregister(line.socket)
        line.socket.close()
        self._send(f"X {number}")

    def _send(self, text: str) -> None:
        data = memoryview(text.encode() + b"\n")
        with self._sending, suppress(OSError):
            while data.nbytes:
                data = data[os.write(self._in, data) :]
