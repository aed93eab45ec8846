"""Opens files that may come from somebody else: regular files only, of a bounded size.

A repository may bring a ``.stackctl/`` of its own. There no link is followed,
neither for a directory nor for a file: each is opened by the descriptor of the
one above it. Elsewhere links are the user's own and are followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stackctl.errors import SpecialFile, WrongInput

OURS = ".stackctl"
LARGEST = 16 << 20
"""Bytes; a larger file is refused. No text that people write comes near it."""
# O_PATH works without the permission to list the directory, which passing through it does not need either.
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NULL = os.makedev(1, 3)
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def directory(path: Path, *, make: bool = False) -> Iterator[int]:
    """A descriptor of the directory; ``make`` creates what is missing. Raises :class:`SpecialFile`, or ``OSError``."""
    descriptor = _directory(path, make=make)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _directory(path: Path, *, make: bool) -> int:
    first = path.parts.index(OURS) if OURS in path.parts else len(path.parts)
    walked = Path(*path.parts[:first])
    if make and first == len(path.parts):
        walked.mkdir(mode=0o700, parents=True, exist_ok=True)
    here = os.open(walked, _DIRECTORY)
    for part in path.parts[first:]:
        walked /= part
        try:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=here)
            deeper = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
        except NotADirectoryError:
            _refuse(os.stat(part, dir_fd=here, follow_symlinks=False), walked)
            raise
        finally:
            os.close(here)
        here = deeper
    return here


def plain_file(path: Path, flags: int, *, make: bool = False) -> int:
    """Open a plain file; ``make`` creates its directory. Raises :class:`SpecialFile`, or ``OSError``.

    The file's type is checked before it is opened: opening a pipe or a device can have effects of its own.
    """
    ours, name = OURS in path.parts[:-1], path.name or "."
    with directory(path.parent, make=make) as where:
        with suppress(FileNotFoundError):
            _refuse(os.stat(name, dir_fd=where, follow_symlinks=not ours), path)
        safely = os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if ours else 0)
        descriptor = os.open(name, flags | safely, 0o600, dir_fd=where)
    try:
        status = os.fstat(descriptor)
        _refuse(status, path)
        if ours and status.st_nlink > 1 and flags & os.O_RDWR:
            raise SpecialFile(f"{path} is another file too, by a hard link", hint=f"rm {path}", where=str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def refuse_in_place(where: int, path: Path) -> None:
    """Raise :class:`SpecialFile` where a file of ours, in the directory ``where``, is no plain file."""
    if OURS in path.parts[:-1]:
        with suppress(FileNotFoundError):
            _refuse(os.stat(path.name, dir_fd=where, follow_symlinks=False), path)


def _refuse(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise WrongInput(f"{path} is a directory, not a file", where=str(path))
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL:
        return  # /dev/null: an empty file on purpose
    for is_kind, what in _KINDS:
        if is_kind(status.st_mode):
            raise SpecialFile(f"{path} is {what}, not a file", where=str(path))
    if status.st_size > LARGEST:
        size = f"{LARGEST >> 20} MB"
        raise SpecialFile(f"{path} is larger than {size}; nothing that is read here is", where=str(path))
