"""The volume behind a local Ollama, as a stream: read and written by a short-lived container beside it.

Where the engine is this machine's, the data crosses by a named pipe in a
bind-mounted directory, since what goes through the docker client's standard
streams comes at a third of the speed; elsewhere those streams carry it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import select
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stackctl.adapters import process
from stackctl.adapters.confinement import confined
from stackctl.errors import ExpectedFailure
from stackctl.ollama.backup.location import StoreLocation
from stackctl.waiting import until

PIPE_SIZE = 1 << 20
_NEEDED = {"r": ("DAC_OVERRIDE",), "w": ("DAC_OVERRIDE", "CHOWN", "FOWNER")}
"""Capabilities of root in the container: pipe and store belong to other users, and so must restored files."""
START_WITHIN = 60.0
ENDS_WITHIN_OF_INTERRUPT = 0.5
# Where stackctl is killed before it opens its end of the pipe, the container must not wait for ever: a watchdog ends
# the work after 15 s. The work is a child process, since PID 1 of a container cannot be killed from inside.
_GUARDED = r"""
( work "$@" ) & child=$!
( n=0; while [ ! -e /tmp/.stackctl-open ] && [ $n -lt 15 ]; do sleep 1; n=$((n+1)); done
  [ -e /tmp/.stackctl-open ] || kill -9 "$child" ) >/dev/null 2>&1 &
wait "$child"
"""
_READ = (
    r"""
work() {
  cd "$1" 2>/dev/null || { echo "there is no model store at $1" >&2; exit 7; }
  [ -d manifests ] || { echo "the store is empty" >&2; exit 7; }
  set -- manifests; [ -d blobs ] && set -- manifests blobs
  if [ -n "$OUT" ]; then exec >"$OUT"; fi
  : >/tmp/.stackctl-open
  # In pieces of 1 MiB where this tar can: by default it reads and writes 10 kB at a time.
  case "$(tar --version 2>/dev/null)" in *GNU*) exec tar -b 2048 -cf - --exclude='*-partial*' "$@";; esac
  # shellcheck disable=SC2046  (names in a store hold no white space)
  exec tar -cf - $(find "$@" -type f ! -name '*-partial*')
}
"""
    + _GUARDED
)
# The store is changed only after `.complete`, the last file of the stream, has arrived.
_WRITE = (
    r"""
work() {
  umask 022
  if [ -n "$IN" ]; then exec <"$IN"; else exec <&4; fi
  : >/tmp/.stackctl-open
  M="$1"; S="$M/.stackctl-restore"
  mkdir -p "$M" || exit 7
  rm -rf "$S" && mkdir "$S" || exit 7
  wide=; case "$(tar --version 2>/dev/null)" in *GNU*) wide="-b 2048";; esac
  if tar $wide -xf - -C "$S" && [ -f "$S/.complete" ]; then
    rm -f "$S/.complete"
    own="$(stat -c %u:%g "$M")"
    chown -R "$own" "$S"
    mkdir -p "$M/blobs" "$M/manifests" && chown "$own" "$M/blobs" "$M/manifests"
    for f in "$S"/blobs/*; do if [ -e "$f" ]; then mv -f "$f" "$M/blobs/" || { rm -rf "$S"; exit 7; }; fi; done
    cd "$S/manifests" && find . -type d | while read -r d; do
      if [ ! -d "$M/manifests/$d" ]; then mkdir -p "$M/manifests/$d"; chown "$own" "$M/manifests/$d"; fi
    done
    find . -type f | while read -r f; do mv -f "$f" "$M/manifests/$f" || exit 7; done
    code=$?; cd /; rm -rf "$S"; exit "$code"
  fi
  rm -rf "$S"; exit 9
}
exec 4<&0
"""
    + _GUARDED
)


class ModelStore:
    """One store. ``same_machine``: the engine shares this machine's file system, so that a named pipe works."""

    def __init__(self, docker: Sequence[str], location: StoreLocation, *, same_machine: bool) -> None:
        self._docker, self._location, self._same_machine = list(docker), location, same_machine

    @contextmanager
    def reading(self) -> Iterator[Callable[[memoryview], int]]:
        """Read a tar stream of the store, ``manifests`` first; raises ``ExpectedFailure`` where the container fails."""
        with self._helper(_READ, "r") as helper:
            descriptor = helper.open(os.O_RDONLY)

            def read_into(view: memoryview) -> int:
                return os.readv(descriptor, [view])

            yield read_into
            # tar pads its output behind the end mark; unread, that would end it with a broken pipe.
            rest = memoryview(bytearray(65536))
            while read_into(rest):
                pass
            helper.finish()

    @contextmanager
    def writing(self) -> Iterator[StoreWriter]:
        """Write a tar stream to the store; where the stream ends without ``.complete``, the store stays as it was."""
        with self._helper(_WRITE, "w") as helper:
            yield StoreWriter(helper)
            helper.finish()

    @contextmanager
    def _helper(self, script: str, mode: str) -> Iterator[_Helper]:
        name = f"stackctl-volume-helper-{secrets.token_hex(6)}"
        with tempfile.TemporaryDirectory(prefix="stackctl-pipe-") as folder:
            fifo = Path(folder) / "pipe" if self._same_machine else None
            helper = _Helper(self._argv(name, script, fifo, mode), fifo, mode)
            remove = [*self._docker, "rm", "--force", name]
            try:
                yield helper
            except KeyboardInterrupt:
                helper.close(within=0)
                helper.end(remove, within=ENDS_WITHIN_OF_INTERRUPT)
                raise
            finally:
                helper.close()
                helper.end(remove)

    def _argv(self, name: str, script: str, fifo: Path | None, mode: str) -> list[str]:
        flag, source = self._location.mount
        if mode == "r":
            source += ":ro"
        argv = [*self._docker, "run", "--rm", "--name", name, "--pull", "never", "--log-driver", "none"]
        argv += ["--network", "none", "--user", "0:0", "--label", "io.stackctl.role=volume-helper", flag, source]
        argv += confined(capabilities=_NEEDED[mode], memory="512m")
        variable = "OUT" if mode == "r" else "IN"
        if fifo is not None:
            argv += ["--volume", f"{fifo.parent}:/stackctl-pipe", "--env", f"{variable}=/stackctl-pipe/pipe"]
        elif mode == "w":
            argv += ["--interactive"]
        return [*argv, "--entrypoint", "sh", self._location.image, "-c", script, "sh", self._location.path]


class _Helper:
    """The ``docker run`` of the container at the store, and our end of the pipe to it."""

    def __init__(self, argv: Sequence[str], fifo: Path | None, mode: str) -> None:
        self._fifo, self._mode = fifo, mode
        self._descriptor: int | None = None
        if fifo is not None:
            os.mkfifo(fifo, 0o600)
        through = process.PIPE if fifo is None else process.DEVNULL
        self.process = process.spawn(
            argv,
            stdin=through if mode == "w" else process.DEVNULL,
            stdout=through if mode == "r" else process.DEVNULL,
            stderr=process.PIPE,
        )
        self._said = bytearray()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None  # noqa: S101
        while chunk := self.process.stderr.read1(4096):  # type: ignore[attr-defined]
            self._said += chunk[: max(0, 65536 - len(self._said))]

    def open(self, flags: int) -> int:
        """The descriptor of our end, once the container has opened the other one."""
        if self._fifo is None:
            stream = self.process.stdin if self._mode == "w" else self.process.stdout
            assert stream is not None  # noqa: S101
            return stream.fileno()
        fifo = self._fifo

        def connected() -> bool:
            if self._descriptor is None:
                try:
                    self._descriptor = os.open(fifo, flags | os.O_NONBLOCK)
                except OSError:  # nobody reads it yet
                    self._descriptor = None
            return self._descriptor is not None and self._is_connected(self._descriptor)

        if not until(lambda: connected() or self.process.poll() is not None, within=START_WITHIN, every=0.005):
            raise ExpectedFailure("the container at the store did not start in time")
        if not connected():
            self.finish()
            return self._descriptor if self._descriptor is not None else os.open(os.devnull, flags)
        assert self._descriptor is not None  # noqa: S101
        os.set_blocking(self._descriptor, True)
        self._widen(self._descriptor)
        fifo.unlink()
        return self._descriptor

    def _is_connected(self, descriptor: int) -> bool:
        if self._mode == "w":
            return True
        return bool(select.select([descriptor], [], [], 0)[0]) and bool(_events(descriptor))

    @staticmethod
    def _widen(descriptor: int) -> None:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:
            return

    def close(self, *, within: float = START_WITHIN) -> None:
        """Close our end of the pipe: the container then ends by itself. ``within`` are seconds to wait for its end."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        elif self._fifo is not None and self._fifo.exists():
            self._release(self._fifo, within)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue

    def _release(self, fifo: Path, within: float) -> None:
        """Open and close the pipe until the container ends, which may be waiting for us to open it."""

        def ended() -> bool:
            os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))
            return self.process.poll() is not None

        until(ended, within=within, every=0.05)

    def end(self, remove: Sequence[str], *, within: float = 15) -> None:
        """Wait until the container has ended; after ``within`` seconds remove it."""
        try:
            self.process.wait(within)
        except process.TimeoutExpired:
            process.run(remove, timeout=30)
            self.process.kill()
            self.process.wait()
        self._listener.join(2)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def finish(self) -> None:
        """Close our end and wait; raises what the container said where it failed."""
        self.close()
        code = self.process.wait()
        self._listener.join(2)
        if code:
            text = " ".join(self._said.decode("utf-8", "replace").split())
            raise _failure(text, code)


class StoreWriter:
    """Writes a tar stream into the container at the store."""

    def __init__(self, helper: _Helper) -> None:
        self._helper, self._descriptor = helper, helper.open(os.O_WRONLY)
        self._splices = sys.platform == "linux"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it."""
        view = memoryview(data)
        with self._whole():
            while view.nbytes:
                view = view[os.write(self._descriptor, view) :]

    def move(self, handle: int, at: int, count: int) -> int:
        """Write bytes of an open file, by ``splice`` where possible; returns how many, 0 at the end of the file."""
        with self._whole():
            if self._splices and sys.platform == "linux":
                try:
                    return os.splice(handle, self._descriptor, count, offset_src=at)
                except OSError as error:
                    if error.errno == errno.EIO:
                        raise ExpectedFailure("the backup cannot be read: its disk fails") from None
                    if error.errno != errno.EINVAL:  # this file system does not support splice
                        raise
                    self._splices = False
            data = os.pread(handle, count, at)
            self.write(data)
            return len(data)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._helper.finish()
            raise ExpectedFailure("the container that writes the store ended too early") from None


def _events(descriptor: int) -> int:
    """Poll events of a pipe: none before its first writer has opened it, then data or a hang-up."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return next((mask for _, mask in poll.poll(0)), 0)


def _failure(text: str, code: int) -> ExpectedFailure:
    if "No space left" in text:
        return ExpectedFailure("the disk of the model store is full; the store is as it was", hint="docker system df")
    if "there is no model store" in text or "the store is empty" in text:
        return ExpectedFailure("the local Ollama has no models yet", hint="stackctl models pull MODEL -i local")
    if "Read-only file system" in text:
        return ExpectedFailure("the model store is mounted read-only")
    return ExpectedFailure(
        f"the container at the model store failed with code {code}: {text[-300:] or 'no reason given'}"
    )
