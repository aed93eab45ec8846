"""Connects to a port inside a container, published or not: by its address, or by a relay through ``docker exec``.

The relay works on any engine, a remote one too: what goes into its standard
input comes out at ``127.0.0.1:port`` as the container sees it, and back.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpcore

from stackctl.adapters import process
from stackctl.ports import Container

# It ends when either side ends; otherwise it would stay in the user's container with its connection open.
_RELAY = r"""
if command -v bash >/dev/null 2>&1; then exec bash -c '
  exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 7
  exec 4<&0
  cat <&3 & reader=$!
  cat <&4 >&3 & writer=$!
  wait -n
  kill "$reader" "$writer" 2>/dev/null' "$0"; fi
if command -v nc >/dev/null 2>&1; then exec nc 127.0.0.1 "$0"; fi
if command -v busybox >/dev/null 2>&1; then exec busybox nc 127.0.0.1 "$0"; fi
echo "no bash and no nc in this image" >&2
exit 8
"""
_MAX_STDERR = 4096
_ENGINE_SPEAKS = b"OCI runtime exec failed"
DIRECT_WITHIN = 0.5
"""Seconds for connecting by address: a container that this machine can reach takes far less."""


def into(
    docker: Sequence[str], container: Container, port: int = 11434, *, same_machine: bool = False
) -> httpcore.NetworkBackend:
    """Connect to what listens on ``port`` inside ``container``; ``docker`` is the client with its context.

    ``same_machine``: the engine's networks are this machine's own (local, not rootless, no
    virtual machine), so that the container's address is worth a try.
    """
    addresses = [str(network.get("IPAddress") or "") for network in container.networks.values()]
    address = "127.0.0.1" if container.network_mode == "host" else next(filter(None, addresses), "")
    argv = [*docker, "exec", "--interactive", container.id, "sh", "-c", _RELAY, str(port)]
    return _ContainerBackend(argv, address if same_machine else "", port)


class _ContainerBackend(httpcore.NetworkBackend):
    """Connects to one port of one container, whatever host and port are asked for."""

    def __init__(self, relay: Sequence[str], address: str, port: int) -> None:
        self._relay, self._address, self._port = relay, address, port

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002
        port: int,  # noqa: ARG002
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        if self._address:
            quick = DIRECT_WITHIN if timeout is None else min(timeout, DIRECT_WITHIN)
            try:
                return httpcore.SyncBackend().connect_tcp(
                    self._address, self._port, quick, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                self._address = ""
        return self._relayed(timeout)

    def _relayed(self, timeout: float | None) -> httpcore.NetworkStream:
        # A socket in a directory of our own makes the relay's two pipes one stream of httpcore's own kind.
        with tempfile.TemporaryDirectory(prefix="stackctl-relay-") as folder, socket.socket(socket.AF_UNIX) as door:
            path = str(Path(folder) / "s")
            door.bind(path)
            door.listen(1)
            ours = httpcore.SyncBackend().connect_unix_socket(path, timeout)
            theirs, _ = door.accept()
        try:
            with theirs:
                started = process.spawn(self._relay, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=process.PIPE)
        except OSError as error:
            ours.close()
            raise httpcore.ConnectError(f"docker cannot be run: {error}") from error
        return _RelayStream(ours, started)


class _RelayStream(httpcore.NetworkStream):
    """The stream of a relay; where it ends before the first byte, the error holds the relay's own message."""

    def __init__(self, inner: httpcore.NetworkStream, relay: process.Running) -> None:
        self._inner, self._relay, self._silent = inner, relay, True

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            data = self._inner.read(max_bytes, timeout)
        except httpcore.ReadError:  # it ended without reading what it was sent
            data = b""
        if self._silent and (not data or data.startswith(_ENGINE_SPEAKS)):
            raise self._failure(data)
        self._silent = False
        return data

    def _failure(self, said: bytes) -> httpcore.ConnectError:
        with suppress(process.TimeoutExpired):
            self._relay.wait(2)
        if said or not self._relay.returncode or self._relay.stderr is None:
            text = said.decode("utf-8", "replace").strip()
        else:
            text = self._relay.stderr.read(_MAX_STDERR).decode("utf-8", "replace").strip()
        return httpcore.ConnectError(text or "the connection was closed")

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with suppress(httpcore.WriteError):  # the relay has ended: the next read says why
            self._inner.write(buffer, timeout)

    def close(self) -> None:
        """Close our side; the relay ends by itself, and is ended where it does not."""
        self._inner.close()
        try:
            self._relay.wait(2)
        except process.TimeoutExpired:
            self._relay.kill()
            self._relay.wait()
        if self._relay.stderr is not None:
            self._relay.stderr.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return self._inner.start_tls(ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
