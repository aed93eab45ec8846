"""A way into a container's network: a TCP connection carried by ``docker exec`` or ``docker run``.

Works on any engine, a remote one too, and needs no published port: what is sent
into the relay's standard input comes out at ``host:port`` as the container sees
it, and back. Names are resolved inside. TLS is ours, end to end.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence

import httpcore

from stackctl.adapters.hub import Hub, NoHub, beside, within
from stackctl.adapters.relaystream import SocketStream
from stackctl.ports import Container

# Ends when either side ends: a relay that outlives its connection would hold it open in the user's container.
# The first line says that the connection stands, so that a refusal is told from a server that hangs up.
_BASH = r"""
if ! { exec 3<>"/dev/tcp/$1/$2"; }; then exit 7; fi
printf 'stackctl-relay ok\n'
exec 4<&0
cat <&3 & reader=$!
cat <&4 >&3 & writer=$!
wait -n
kill "$reader" "$writer" 2>/dev/null
"""
_PYTHON = r"""
import os, socket, sys, threading
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
except OSError as e:
    sys.stderr.write("connect: %s\n" % (e.strerror or e)); sys.exit(7)
os.write(1, b"stackctl-relay ok\n")
def up():
    while True:
        d = os.read(0, 65536)
        if not d: os._exit(0)
        s.sendall(d)
threading.Thread(target=up, daemon=True).start()
while True:
    d = s.recv(65536)
    if not d: break
    while d: d = d[os.write(1, d):]
os._exit(0)
"""
_NODE = r"""
const s = require("net").connect(Number(process.argv[2]), process.argv[1]);
s.on("connect", () => { process.stdout.write("stackctl-relay ok\n"); process.stdin.pipe(s); s.pipe(process.stdout); });
s.on("error", e => { process.stderr.write("connect: " + e.code + " " + e.message + "\n"); process.exit(7); });
s.on("close", () => process.exit(0)); process.stdin.on("end", () => process.exit(0));
"""
# busybox's nc says nothing when it is connected; that the relay stands is all that can be said.
_SHELL = r"""
for p in bash python3 python node; do command -v "$p" >/dev/null 2>&1 && case $p in
  bash) exec bash -c "$R_BASH" relay "$1" "$2";;
  python3|python) exec "$p" -c "$R_PYTHON" "$1" "$2";;
  node) exec node -e "$R_NODE" "$1" "$2";;
esac; done
if command -v nc >/dev/null 2>&1; then printf 'stackctl-relay ok\n'; exec nc "$1" "$2"; fi
if command -v busybox >/dev/null 2>&1; then printf 'stackctl-relay ok\n'; exec busybox nc "$1" "$2"; fi
echo "connect: no bash, python, node or nc in this image" >&2
exit 8
"""
_GREETING = b"stackctl-relay ok\n"
_SCRIPTS = {"R_BASH": _BASH, "R_PYTHON": _PYTHON, "R_NODE": _NODE}
_MAX_STDERR = 4096
DIRECT_WITHIN = 0.5


class NoRelay(httpcore.ConnectError):
    """The image has nothing that can relay."""


def exec_prefix(docker: Sequence[str], container: str) -> list[str]:
    """The command that runs a relay inside ``container``; ``docker`` is the client with its context."""
    names = [flag for name in _SCRIPTS for flag in ("--env", name)]
    return [*docker, "exec", "--interactive", *names, container, "sh", "-c", _SHELL, "relay"]


class RelayBackend(httpcore.NetworkBackend):
    """Connects through relays: every connection is one process of the docker client."""

    def __init__(self, prefix: Sequence[str], *, host: str | None = None, port: int | None = None) -> None:
        self._prefix, self._host, self._port = list(prefix), host, port

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002  (chosen inside)
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """A connection to ``host:port`` as the container sees it, or to the fixed one of this backend."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = subprocess.Popen(
                    [*self._prefix, self._host or host, str(self._port or port)],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    env={**os.environ, **_SCRIPTS},
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            raise httpcore.ConnectError(f"docker cannot be run: {error}") from error
        stream = _RelayStream(ours, process)
        try:
            stream.greet(timeout)
        except BaseException:
            stream.close()
            raise
        return stream


class DirectBackend(httpcore.NetworkBackend):
    """Connects to a container's own address on this machine, and through a relay where that is not to be had."""

    def __init__(self, address: str, port: int, relay: RelayBackend) -> None:
        self._address, self._port, self._relay = address, port, relay
        self._direct = True

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the container's port, whatever the name."""
        if self._direct:
            try:
                quick = DIRECT_WITHIN if timeout is None else min(timeout, DIRECT_WITHIN)
                return httpcore.SyncBackend().connect_tcp(
                    self._address, self._port, quick, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                self._direct = False
        return self._relay.connect_tcp(host, port, timeout, local_address, socket_options)


class InsideBackend(httpcore.NetworkBackend):
    """Connects from where a consumer is: from inside it, or from beside it where its image has nothing for it.

    The way out is made here, before anybody's time is taken: one hub for all
    connections, or a process for each where the images are too poor for that.
    """

    def __init__(self, docker: Sequence[str], container: Container, images: Sequence[str]) -> None:
        self._docker, self._container, self._images = docker, container, images
        self._hub = self._opened()
        self._single = RelayBackend(exec_prefix(docker, container.id))

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to ``host:port`` as the consumer would make it."""
        return (self._hub or self._single).connect_tcp(host, port, timeout, local_address, socket_options)

    def close(self) -> None:
        """Leave the container."""
        if self._hub is not None:
            self._hub.close()

    def _opened(self) -> Hub | None:
        try:
            return Hub(within(self._docker, self._container.id))
        except NoHub:
            image = self._image()
        try:
            return Hub(beside(self._docker, self._container.id, image)) if image else None
        except NoHub:
            return None

    def _image(self) -> str | None:
        for image in self._images:
            argv = [*self._docker, "image", "inspect", "--format", "ok", image]
            if subprocess.run(argv, capture_output=True, check=False, timeout=30).returncode == 0:
                return image
        return None


def into(
    docker: Sequence[str], container: Container, port: int = 11434, *, near: bool = False
) -> httpcore.NetworkBackend:
    """A way to the server that listens on ``port`` inside ``container``, published or not.

    ``near``: the engine's networks are this machine's own (local, not rootless, no
    virtual machine), so that the container's address is worth a try.
    """
    relay = RelayBackend(exec_prefix(docker, container.id), host="127.0.0.1", port=port)
    addresses = [str(network.get("IPAddress") or "") for network in container.networks.values()]
    address = "127.0.0.1" if container.network_mode == "host" else next(filter(None, addresses), "")
    return DirectBackend(address, port, relay) if near and address else relay


class _RelayStream(SocketStream):
    def __init__(self, sock: socket.socket, process: subprocess.Popen[bytes]) -> None:
        super().__init__(sock)
        self._process = process
        self._silent = False

    def greet(self, timeout: float | None) -> None:
        """Wait until the relay says that its connection stands."""
        end = None if timeout is None else time.monotonic() + timeout
        seen = b""
        while len(seen) < len(_GREETING):
            left = None if end is None else max(0.001, end - time.monotonic())
            try:
                chunk = self.read(4096, left)
            except httpcore.ReadTimeout as error:
                raise httpcore.ConnectTimeout("the relay did not connect in time") from error
            if not chunk:
                raise _failed(self._process)
            seen += chunk
        if not seen.startswith(_GREETING):
            raise _odd(seen + self._rest())
        self._early = seen[len(_GREETING) :]
        self._silent = not self._early

    def _rest(self) -> bytes:
        """What else is said within a second: an engine tells on standard output that it cannot run a program."""
        seen = b""
        end = time.monotonic() + 1.0
        try:
            while len(seen) < _MAX_STDERR and (chunk := self.read(4096, max(0.001, end - time.monotonic()))):
                seen += chunk
        except httpcore.ReadTimeout:
            return seen
        return seen

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._early:
            return super().read(max_bytes, timeout)
        data = super().read(max_bytes, timeout)
        if not data and self._silent:
            self._explain()
        self._silent = self._silent and not data
        return data

    def _explain(self) -> None:
        """Say why a relay ended before a single byte: nc greets before it connects."""
        reason = _failed(self._process)
        if "nc:" in str(reason):
            raise reason

    def close(self) -> None:
        """Close our side; the relay ends by itself, and is ended where it does not."""
        super().close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _odd(said: bytes) -> httpcore.ConnectError:
    text = said.decode("utf-8", "replace").strip()
    if "executable file not found" in text or "no such file or directory" in text.lower():
        return NoRelay(text)
    return httpcore.ConnectError(f"the relay answered something else: {text[:200]}")


def _failed(process: subprocess.Popen[bytes]) -> httpcore.ConnectError:
    text = ""
    if process.stderr is not None:
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
        text = process.stderr.read(_MAX_STDERR).decode("utf-8", "replace")
    if process.returncode == 8 or "executable file not found" in text or "no such file or directory" in text.lower():
        return NoRelay(text.strip() or "nothing in this image can relay")
    return httpcore.ConnectError(text.strip() or f"the relay ended with code {process.returncode}")
