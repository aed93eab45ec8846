"""Threads that are waited for, but not for long where an interrupt ends the verb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

Answer = TypeVar("Answer")
UNDO_WITHIN = 1.0
"""Seconds that threads have, when a verb is interrupted, to undo what they had begun."""


class Pool(ThreadPoolExecutor):
    """A pool that knows what it was given."""

    def __init__(self, workers: int) -> None:
        super().__init__(max_workers=workers)
        self.given: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Answer], /, *args: Any, **kwargs: Any) -> Future[Answer]:
        """Start ``fn`` in a thread."""
        future = super().submit(fn, *args, **kwargs)
        self.given.append(future)
        return future


@contextmanager
def together(workers: int) -> Iterator[Pool]:
    """A pool of threads that is waited for at the end, but not for long where an interrupt ends it.

    ``ThreadPoolExecutor`` as a context waits for every thread, also for one that waits for a server that hangs.
    """
    pool = Pool(workers)
    try:
        yield pool
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        wait(pool.given, UNDO_WITHIN)
        raise
    except BaseException:
        pool.shutdown()
        raise
    pool.shutdown()
