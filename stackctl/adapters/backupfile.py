"""Backup files on this machine: one appears only once it is complete."""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackctl.errors import ExpectedFailure, UsageError

Buffer = bytes | bytearray | memoryview
FLUSH_EVERY = 64 << 20


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Sequence[Buffer]], None]]:
    """Write pieces to a file that gets its name, synced to disk, only when the block ends without an error.

    A process that is killed leaves nothing behind, where the file system supports unnamed files (``O_TMPFILE``).
    """
    descriptor, temporary = _unnamed(path)
    try:
        written = begun = 0
        flusher = _Flusher(descriptor)

        def write(pieces: Sequence[Buffer]) -> None:
            nonlocal written, begun
            left = [memoryview(piece) for piece in pieces]
            while left:
                count = os.writev(descriptor, left[:1000])
                written += count
                while left and count >= left[0].nbytes:
                    count -= left.pop(0).nbytes
                if count:
                    left[0] = left[0][count:]
            if written - begun >= FLUSH_EVERY:
                begun = written
                flusher.wake()

        try:
            yield write
        finally:
            flusher.stop()
        os.fsync(descriptor)
        _publish(descriptor, temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        os.close(descriptor)
        if temporary is not None:
            temporary.unlink(missing_ok=True)


class _Flusher:
    """Syncs to disk from time to time, in a thread of its own, so that little is left for the sync at the end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="flush")
        self._thread.start()

    def wake(self) -> None:
        """Sync soon."""
        self._wake.set()

    def stop(self) -> None:
        """End once the sync under way is done."""
        self._stopped = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while self._wake.wait() and not self._stopped:
            self._wake.clear()
            try:
                os.fdatasync(self._descriptor)
            except OSError:  # the sync at the end fails too, and reports it
                return


def _unnamed(path: Path) -> tuple[int, Path | None]:
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(path.parent, flags | os.O_TMPFILE, 0o600), None
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT) or not path.parent.is_dir():
            raise _unwritable(path, error) from None
    temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    try:
        return os.open(temporary, flags | os.O_CREAT | os.O_EXCL, 0o600), temporary
    except OSError as error:
        raise _unwritable(path, error) from None


def _publish(descriptor: int, temporary: Path | None, path: Path) -> None:
    if temporary is None:
        temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}"
        # Only with a directory descriptor does Python call linkat, which can follow the link to the file itself.
        os.link(f"/proc/self/fd/{descriptor}", temporary, src_dir_fd=descriptor, follow_symlinks=True)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@dataclass(frozen=True)
class Reading:
    """A file that is read from several threads. ``stamp`` is its size and times when it was opened."""

    handle: int
    size: int
    stamp: tuple[int, ...]

    def read_at(self, views: list[memoryview], at: int) -> int:
        """Fill views in order from a place in the file; 0 at its end."""
        try:
            return os.preadv(self.handle, views, at)
        except OSError as error:
            raise ExpectedFailure(f"the backup cannot be read: {error.strerror}") from None

    def unchanged(self) -> bool:
        """Whether nobody has written to it since it was opened."""
        return _stamp(self.handle) == self.stamp


@contextmanager
def reading(path: Path) -> Iterator[Reading]:
    """A file open for reading."""
    try:
        with path.open("rb", buffering=0) as file:
            handle = file.fileno()
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            yield Reading(handle, os.fstat(handle).st_size, _stamp(handle))
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory, not a backup") from None
    except PermissionError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from None


def _stamp(handle: int) -> tuple[int, ...]:
    found = os.fstat(handle)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def tail(path: Path, count: int) -> bytes:
    """The last bytes of a file."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - count))
        return file.read(count)


def _unwritable(path: Path, error: OSError) -> ExpectedFailure:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ExpectedFailure(
            f"no room for {path}: the disk is full; nothing was left behind", hint=f"df -h {path.parent}"
        )
    if error.errno == errno.ENOENT:
        return ExpectedFailure(f"no such directory: {path.parent}", hint=f"mkdir -p {path.parent}")
    return ExpectedFailure(f"{path} cannot be written: {error.strerror}", hint=f"ls -ld {path.parent}")
