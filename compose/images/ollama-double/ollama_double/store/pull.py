"""Downloads: shared by all who want the same blob, stopped when the last leaves, resumed from what is on disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_double import log
from ollama_double.store.registry import LostError, PullError, Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ollama_double.faults import Faults
    from ollama_double.store.disk import Store

TICK = 0.06
TRIES = 6
BACKOFF = 0.1  # the real server waits 1, 2, 4… s; a test need not


@dataclass
class Download:
    """One blob on its way; `completed` and `total` are bytes."""

    digest: str
    total: int
    completed: int = 0
    waiters: int = 0
    error: str | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Downloads:
    """The downloads under way."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._under_way: dict[str, Download] = {}

    async def fetch(self, source: Source, digest: str, total: int) -> AsyncIterator[int]:
        """Yield how many bytes are there, about every 60 ms, until the blob is; PullError when it fails."""
        if self._store.blob(digest).exists():
            yield total
            return
        download = self._under_way.get(digest)
        if download is None:
            download = Download(digest, total)
            self._under_way[digest] = download
            download.task = asyncio.get_running_loop().create_task(self._run(download, source))
        download.waiters += 1
        try:
            while not download.done.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK):
                        await download.done.wait()
                if not download.done.is_set():
                    yield download.completed
            if download.error:
                raise PullError(download.error)
        finally:
            download.waiters -= 1
            if not download.waiters and not download.done.is_set() and download.task is not None:
                self._under_way.pop(digest, None)
                download.task.cancel()

    async def _run(self, download: Download, source: Source) -> None:
        path = self._store.blob(download.digest)
        partial = path.with_name(path.name + "-partial")
        try:
            await self._parts(download, source, partial)
            partial.replace(path)
            partial.with_name(partial.name + "-0").unlink(missing_ok=True)
        except PullError as error:
            download.error = str(error)
        except OSError as error:
            text = (
                "no space left on device" if error.errno == errno.ENOSPC else (error.strerror or "input/output error")
            )
            download.error = f"write {partial}: {text.lower()}"
        finally:
            if self._under_way.get(download.digest) is download:
                del self._under_way[download.digest]
            download.done.set()

    async def _parts(self, download: Download, source: Source, partial: Path) -> None:
        note = partial.with_name(partial.name + "-0")
        download.completed = _noted(note, partial)
        tries = 0
        while download.completed < download.total:
            before = download.completed
            try:
                await self._copy(download, source, partial, note)
            except LostError as error:
                tries = 0 if download.completed > before else tries + 1
                if tries >= TRIES:
                    raise
                log.line("INFO", "download.go:291", f"{download.digest[7:19]} part 0 attempt {tries} failed: {error}")
                await asyncio.sleep(BACKOFF * 2**tries)
        if not download.total:
            await self._copy(download, source, partial, note)

    async def _copy(self, download: Download, source: Source, partial: Path, note: Path) -> None:
        with partial.open("r+b" if download.completed else "w+b") as file:
            file.truncate(download.total)
            file.seek(download.completed)
            written = 0.0
            stream = source.read(download.digest, download.completed, download.total)
            try:
                async for piece in stream:
                    full = self._faults.pull_disk_full_after
                    if 0 <= full < download.completed + len(piece) and download.total >= 1 << 16:
                        raise OSError(errno.ENOSPC, "no space left on device")
                    file.write(piece)
                    download.completed += len(piece)
                    if time.monotonic() - written > TICK:
                        file.flush()
                        _note(note, download)
                        written = time.monotonic()
            finally:
                # Buffered bytes are on disk before the note says so: a resume must never trust a hole.
                with contextlib.suppress(OSError):
                    file.flush()
                    _note(note, download)
                close = getattr(stream, "aclose", None)
                if close is not None:
                    await close()


def _note(note: Path, download: Download) -> None:
    value = {"N": 0, "Offset": 0, "Size": download.total, "Completed": download.completed}
    partial = note.with_name(note.name + "~")
    partial.write_text(json.dumps(value))
    partial.replace(note)


def _noted(note: Path, partial: Path) -> int:
    try:
        return int(json.loads(note.read_text())["Completed"]) if partial.exists() else 0
    except (OSError, ValueError, KeyError):
        return 0


def verify(path: Path, digest: str) -> None:
    """Raise PullError, and drop the blob, when its bytes are not those of its digest."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    if f"sha256:{found.hexdigest()}" != digest:
        path.unlink(missing_ok=True)
        text = f"digest mismatch, file must be downloaded again: want {digest}, got sha256:{found.hexdigest()}"
        raise PullError(text)


def layers_of(manifest: bytes) -> list[dict[str, Any]]:
    """Return the layers of a manifest, its configuration last."""
    value = json.loads(manifest)
    return [*(value["layers"] or []), value["config"]]
