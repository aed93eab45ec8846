"""Files: atomic writes with fsync, and the lock of a project."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stackctl.adapters import process
from stackctl.adapters.opening import LARGEST, directory, plain_file, refuse_in_place
from stackctl.errors import ExpectedFailure, ProjectLocked, SpecialFile, WrongInput
from stackctl.waiting import until

ORPHANS = 60.0
"""Seconds in which what a killed holder had started may come to its end."""
POLL = 0.1


class LocalFiles:
    """Files of this machine, behind :class:`stackctl.ports.Files`."""

    def read(self, path: Path, *, limit: int | None = None) -> bytes | None:
        """The bytes; with ``limit``, at most one byte more than that."""
        try:
            with os.fdopen(plain_file(path, os.O_RDONLY), "rb") as file:
                return file.read((LARGEST if limit is None else limit) + 1)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            raise WrongInput(
                f"{path.parent} is a file, not a directory",
                hint=f"move it away: mv {path.parent} {path.parent}.old",
                where=str(path.parent),
            ) from None
        except OSError as error:
            raise WrongInput(
                f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}", where=str(path)
            ) from None

    def names(self, path: Path) -> list[str]:
        """Sorted names, directories with a slash at the end."""
        try:
            with directory(path) as where:
                descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=where)
            try:
                with os.scandir(descriptor) as entries:
                    return sorted(entry.name + "/" * entry.is_dir() for entry in entries)
            finally:
                os.close(descriptor)
        except (OSError, SpecialFile):
            return []

    def write(self, path: Path, data: bytes, *, mode: int = 0o600) -> bool:
        """Write by rename: the file is either the old one or the new one, whatever happens."""
        try:
            with directory(path.parent, make=True) as where:
                refuse_in_place(where, path)
                if self._same(path, data):
                    return False
                temporary = f".{path.name}.{secrets.token_hex(6)}"
                created = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                try:
                    with os.fdopen(os.open(temporary, created, mode, dir_fd=where), "wb") as file:
                        os.fchmod(file.fileno(), mode)
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                    os.replace(temporary, path.name, src_dir_fd=where, dst_dir_fd=where)
                    _sync_directory(where)
                except BaseException:
                    with suppress(FileNotFoundError):
                        os.unlink(temporary, dir_fd=where)
                    raise
        except OSError as error:
            raise _unwritable(path, error) from None
        return True

    def _same(self, path: Path, data: bytes) -> bool:
        try:
            return self.read(path, limit=len(data)) == data
        except WrongInput:
            return False

    def append(self, path: Path, line: str) -> None:
        """Append one line and sync it, all of it or nothing; a line that a killed process half wrote stays its own."""
        try:
            descriptor = plain_file(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, make=True)
            try:
                _append(descriptor, (line + "\n").encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unwritable(path, error) from None

    def remove(self, path: Path) -> None:
        """Remove a file or a directory; a directory stays where another process has begun anew in it meanwhile."""
        try:
            with directory(path.parent) as where:
                if stat.S_ISDIR(os.stat(path.name, dir_fd=where, follow_symlinks=False).st_mode):
                    shutil.rmtree(path.name, dir_fd=where)
                else:
                    os.unlink(path.name, dir_fd=where)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                return
            raise _unwritable(path, error) from None

    @contextmanager
    def lock(self, path: Path, purpose: str) -> Iterator[None]:
        """Hold an advisory lock. The kernel drops it with its holder, so a dead one is never in the way.

        The processes that a killed holder had started hold it until they end: a
        `docker compose up` that works on would undo what the next command does.
        """
        descriptor = _lock_file(path)
        process.HELD.add(descriptor)
        try:
            holder = {"pid": os.getpid(), "since": time.time(), "purpose": purpose}
            try:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            except OSError as error:
                raise _unwritable(path, error) from None
            yield
        finally:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            process.HELD.discard(descriptor)
            # Whatever else inherited it: a holder that ends as it should lets go.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _append(descriptor: int, data: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        # On a disk that gets full, the first write takes what fits, and only the second one fails.
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _lock_file(path: Path) -> int:
    """Open and lock; a while longer where the holder is gone, and only what it had started still holds the lock."""
    held = until(lambda: _try_lock(path, patient=True), within=ORPHANS, every=POLL)
    return held[0] if held else _try_lock(path, patient=False)[0]


def _try_lock(path: Path, *, patient: bool) -> tuple[int, ...]:
    """The descriptor of the locked file; nothing where one is to be ``patient``, for its holder is gone."""
    while True:
        try:
            descriptor = plain_file(path, os.O_RDWR | os.O_CREAT, make=True)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unwritable(path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            content = os.pread(descriptor, 4096, 0)
            os.close(descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise _unwritable(path, error) from None
            if patient and _gone(content):
                return ()
            raise _held(content, path) from None
        if os.fstat(descriptor).st_nlink:
            return (descriptor,)
        # Its last holder removed the file between the two.
        os.close(descriptor)


def _gone(content: bytes) -> bool:
    """Whether the holder is dead, so that only what it had started holds the lock."""
    try:
        os.kill(int(json.loads(content)["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return False
    return False


def _held(content: bytes, path: Path) -> ProjectLocked:
    try:
        holder = json.loads(content)
        if _gone(content):
            return ProjectLocked(
                f"process {holder['pid']} was killed, and what it had started for"
                f" `{holder['purpose']}` is at work still",
                hint=f"wait for it, or end it: fuser -k {path}",
            )
        age = max(0.0, time.time() - float(holder["since"]))
        who = f"process {holder['pid']}, for {age:.0f} s, doing: {holder['purpose']}"
        hint = f"wait for it, or look at it: ps -fp {holder['pid']}"
    except (ValueError, KeyError, TypeError):
        who, hint = "a process that has not said which", f"fuser -v {path}"
    return ProjectLocked(f"another stackctl is at work on this project ({who})", hint=hint)


def _sync_directory(where: int) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=where)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> ExpectedFailure:
    reasons = {
        errno.ENOSPC: ("the disk is full", f"df -h {path.parent}"),
        errno.EROFS: ("the file system is read-only", f"findmnt -T {path.parent}"),
        errno.EACCES: ("no permission to write there", f"ls -ld {path.parent}"),
        errno.EPERM: ("no permission to write there", f"ls -ld {path.parent}"),
        errno.EDQUOT: ("the disk quota is used up", "quota -s"),
    }
    reason, hint = reasons.get(error.errno or 0, (error.strerror or "an I/O error", ""))
    return ExpectedFailure(f"{path} cannot be written: {reason}", hint=hint, where=str(path))
