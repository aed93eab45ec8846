"""Pulls models into a server: several at once, each model once, resumed where the connection was cut."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stackctl.ollama import model_names
from stackctl.ollama.client import OllamaClient
from stackctl.ollama.errors import Kind, OllamaError
from stackctl.ollama.listing import missing_models
from stackctl.ollama.pull import PullProgress
from stackctl.ports import Progress, Reporter
from stackctl.waiting import until

PARALLEL = 3
ATTEMPTS = 5
BACK_WITHIN = 60.0
SAY_EVERY = 0.1
_CUT = frozenset({Kind.CUT, Kind.TIMEOUT, Kind.REFUSED, Kind.UPSTREAM})


@dataclass(frozen=True)
class Pulled:
    """How one pull ended: ``error`` is None for success. ``bytes`` were fetched now."""

    model: str
    bytes: int = 0
    seconds: float = 0.0
    error: OllamaError | None = None


def ensure_models(client: OllamaClient, models: Sequence[str], reporter: Reporter) -> list[str]:
    """Pull what is missing of ``models``; return the names that were pulled.

    Raises the first :class:`OllamaError` after every other pull has ended.
    """
    missing = missing_models(models, client.tags())
    ended = pull_all(client, missing, reporter)
    for result in ended:
        if result.error is not None:
            raise result.error
    return [result.model for result in ended]


def pull_all(
    client: OllamaClient, models: Sequence[str], reporter: Reporter, *, insecure: bool = False
) -> list[Pulled]:
    """Pull every model, several in parallel; two names of one model are one pull. Results in the given order.

    An interrupt stops the pulls; the server keeps what was fetched.
    """
    wanted = list({model_names.key(model): model for model in reversed(models)}.values())[::-1]
    stop = threading.Event()
    events: queue.SimpleQueue[PullProgress | Pulled | BaseException] = queue.SimpleQueue()
    work: queue.SimpleQueue[str] = queue.SimpleQueue()
    for model in wanted:
        work.put(model)

    def worker() -> None:
        while not stop.is_set():
            try:
                model = work.get_nowait()
            except queue.Empty:
                return
            try:
                events.put(_pull(client, model, events.put, stop, insecure=insecure))
            except BaseException as error:  # noqa: BLE001  (handed to the caller's thread)
                events.put(error)

    for _ in range(min(PARALLEL, len(wanted))):
        threading.Thread(target=worker, daemon=True, name="pull").start()
    try:
        ended = _all_ended(events, len(wanted), reporter)
    finally:
        stop.set()
    return [ended[model] for model in wanted]


def _all_ended(
    events: queue.SimpleQueue[PullProgress | Pulled | BaseException], count: int, reporter: Reporter
) -> dict[str, Pulled]:
    """Report progress until ``count`` pulls have ended; raises what one of them raised."""
    ended: dict[str, Pulled] = {}
    running: dict[str, PullProgress] = {}
    said = 0.0
    while len(ended) < count:
        event = events.get()
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, Pulled):
            ended[event.model] = event
            continue
        before = running.get(event.model)
        running[event.model] = event
        if before is None or before.stage != event.stage or time.monotonic() - said >= SAY_EVERY:
            said = time.monotonic()
            reporter.progress(_shown({m: p for m, p in running.items() if m not in ended}))
    return ended


def wait_for_answer(client: OllamaClient, *, within: float, every: float) -> None:
    """Wait until the server answers; raises its :class:`OllamaError` where it does not within so many seconds.

    An error that waiting cannot cure is raised at once.
    """
    failures: list[OllamaError] = []

    def answers() -> bool:
        failures.clear()
        try:
            client.version()
        except OllamaError as error:
            if not error.passing:
                raise
            failures.append(error)
        return not failures

    if not until(answers, within=within, every=every):
        raise failures[0]


def _shown(running: Mapping[str, PullProgress]) -> Progress:
    """One line for all pulls under way."""
    parts = [f"{model}: {progress.text}" if progress.text else model for model, progress in running.items()]
    # Where nothing is being fetched (verifying, say) a full bar would look like the end.
    fetching = [progress for progress in running.values() if progress.stage == "downloading"]
    done = sum(progress.completed for progress in fetching)
    total = sum(progress.total for progress in fetching)
    return Progress("; ".join(parts), done, total, "bytes")


def _pull(
    client: OllamaClient, model: str, say: Callable[[PullProgress], None], stop: threading.Event, *, insecure: bool
) -> Pulled:
    begun, fetched, best = time.monotonic(), 0, -1
    for attempt in range(1, ATTEMPTS + 1):
        last: PullProgress | None = None
        try:
            for progress in client.pull(model, insecure=insecure):
                last = progress
                say(progress)
                if stop.is_set():
                    break
            fetched += (last.completed - last.resumed) if last else 0
            return Pulled(model, fetched, time.monotonic() - begun)
        except OllamaError as error:
            reached = last.completed if last else 0
            fetched += (last.completed - last.resumed) if last else 0
            gained, best = reached > best, max(best, reached)
            if error.kind not in _CUT or not gained or attempt == ATTEMPTS or not _back(client, stop):
                return Pulled(model, fetched, time.monotonic() - begun, error)
    raise AssertionError("unreachable")


def _back(client: OllamaClient, stop: threading.Event) -> bool:
    """Wait until the server answers again; False when it does not, or when we are to stop."""

    def settled() -> str:
        if stop.is_set():
            return "stop"
        try:
            client.version()
        except OllamaError as error:
            return "" if error.passing else "lost"
        return "back"

    return until(settled, within=BACK_WITHIN, every=0.25, sleep=stop.wait) == "back"
