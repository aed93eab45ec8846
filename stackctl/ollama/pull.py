"""The lines of a pull: progress summed over layers, and how the pull ended.

The server sends status 200 before it starts, so the lines decide: ``success``
is success, ``error`` is failure, and a stream that ends with neither was cut
off (ollama 0.33, server/images.go:998-1125).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from stackctl.ollama.text import human_bytes, human_seconds, mapping, number, plain

Stage = Literal["starting", "downloading", "verifying", "finishing", "done", "failed"]
MAX_LAYERS = 10_000
WINDOW = 5.0
LINE_EVERY = 0.06
FASTEST = 1.25e9


@dataclass(frozen=True)
class PullProgress:
    """Where a pull stands.

    ``completed`` and ``total`` in bytes over all layers seen so far; ``rate`` in bytes a
    second over the last seconds; ``eta`` in seconds, None where it cannot be told;
    ``resumed`` the bytes that were there before.
    """

    model: str
    stage: Stage
    status: str = ""
    completed: int = 0
    total: int = 0
    rate: float = 0.0
    eta: float | None = None
    resumed: int = 0
    error: str = ""

    @property
    def text(self) -> str:
        """One line for people, without the model's name."""
        if self.stage == "failed":
            return self.error
        if not self.total or self.stage in ("starting", "done"):
            return self.status
        parts = [f"{human_bytes(self.completed)} of {human_bytes(self.total)}"]
        if self.stage == "downloading" and self.rate:
            parts.append(f"{human_bytes(self.rate)}/s")
            if self.eta is not None:
                parts.append(f"{human_seconds(self.eta)} left")
        elif self.stage != "downloading":
            parts.append(self.status)
        return ", ".join(parts)


@dataclass
class PullTracker:
    """Sums the lines of one pull. ``clock`` gives seconds; only differences matter."""

    model: str
    clock: Callable[[], float]
    _layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    _first: dict[str, int] = field(default_factory=dict)
    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    _current: str = ""
    _before: float = field(default=0.0)
    _stage: Stage = "starting"

    def __post_init__(self) -> None:
        self._before = self.clock()

    @property
    def ended(self) -> bool:
        """Whether the server said how it ended."""
        return self._stage in ("done", "failed")

    def feed(self, line: Any) -> PullProgress:
        """Take one decoded line (a mapping) and tell where the pull stands."""
        data = mapping(line)
        error = data.get("error")
        if error:
            self._stage = "failed"
            return self._progress(plain(data.get("status") or ""), error=_error_text(error))
        status = plain(data.get("status") or "", 120)
        digest = data.get("digest")
        if isinstance(digest, str) and (data.get("total") is not None or digest in self._layers):
            self._layer(digest[:80], number(data.get("completed")), number(data.get("total")))
        elif status == "success":
            self._stage = "done"
        elif status.startswith("verifying"):
            self._finish_layers("verifying")
        elif status.startswith(("writing", "removing")):
            self._finish_layers("finishing")
        return self._progress(status)

    def end(self) -> PullProgress:
        """The state once the stream has ended: a failure unless the server said how the pull ended."""
        if not self.ended:
            self._stage = "failed"
            return self._progress("", error="the connection ended before the pull was done")
        return self._progress("success" if self._stage == "done" else "")

    def _layer(self, digest: str, completed: int, total: int) -> None:
        self._stage = "downloading"
        if self._current and self._current != digest and self._current in self._layers:
            whole = self._layers[self._current][1]
            self._layers[self._current] = (whole, whole)
        self._current = digest
        if digest in self._layers or len(self._layers) < MAX_LAYERS:
            total = max(total, 0)
            completed = min(max(completed, 0), total) if total else max(completed, 0)
            if digest not in self._first:
                # More bytes than can have arrived since the previous line: they were there before this pull.
                fresh = FASTEST * (self.clock() - self._before + LINE_EVERY)
                self._first[digest] = completed if completed > fresh else 0
            self._layers[digest] = (completed, total or self._layers.get(digest, (0, 0))[1])

    def _finish_layers(self, stage: Stage) -> None:
        self._stage = stage
        self._layers = {digest: (total, total) for digest, (_, total) in self._layers.items()}

    def _progress(self, status: str, error: str = "") -> PullProgress:
        completed = sum(done for done, _ in self._layers.values())
        total = sum(whole for _, whole in self._layers.values())
        resumed = sum(self._first.values())
        now = self._before = self.clock()
        fetched = max(0, completed - resumed)
        self._samples.append((now, fetched))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW:
            self._samples.popleft()
        begun, before = self._samples[0]
        rate = max(0.0, (fetched - before) / (now - begun)) if now - begun >= 0.05 else 0.0
        eta = (total - completed) / rate if rate > 0 and total > completed else None
        return PullProgress(self.model, self._stage, status, completed, total, rate, eta, resumed, error)


def _error_text(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error
    return plain(error)


def track(model: str, lines: Iterable[Any], clock: Callable[[], float]) -> Iterator[PullProgress]:
    """Progress after every line of a pull; the last one has the stage ``done`` or ``failed``."""
    tracker = PullTracker(model, clock)
    for line in lines:
        progress = tracker.feed(line)
        yield progress
        if tracker.ended:
            return
    yield tracker.end()
