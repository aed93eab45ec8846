"""Which models are loaded: loading, queueing, keep_alive, eviction. Runners are keyed by the weights' blob."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_double import faults as knobs
from ollama_double import godata, log
from ollama_double.net.web import ApiError
from ollama_double.settings import FOREVER, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ollama_double.store.disk import Model

BUSY = "server busy, please try again.  maximum pending requests exceeded"
_RELOAD = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict", "shift")


@dataclass
class Runner:
    """One loaded model; `expires` is nanoseconds since 1970, None while it works."""

    model: Model
    options: dict[str, Any]
    keep_alive: int
    context: int
    size: int
    size_vram: int
    slots: asyncio.Semaphore
    busy: int = 0
    dead: bool = False
    expires: int | None = None
    timer: asyncio.TimerHandle | None = None
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def until(self) -> int:
        """When it will be unloaded, as `/api/ps` tells it."""
        if self.expires is not None:
            return self.expires
        return time.time_ns() + self.keep_alive


class Scheduler:
    """The loaded runners."""

    def __init__(self, settings: Settings, faults: knobs.Faults) -> None:
        self._settings = settings
        self._faults = faults
        self._runners: dict[str, Runner] = {}
        self._loading = asyncio.Lock()
        self._waiting = 0
        self._changed = asyncio.Event()

    def loaded(self) -> list[Runner]:
        """Return the runners, latest expiry first."""
        return sorted(self._runners.values(), key=lambda runner: runner.until // godata.SECOND, reverse=True)

    def context_for(self, model: Model, options: Mapping[str, Any]) -> int:
        """Return the context length that a call gets, clamped to what the model was trained for."""
        wanted = int(
            options.get("num_ctx") or self._settings.context_length or (32768 if self._gpu_share({}) else 4096)
        )
        trained = model.value("context_length", 4096)
        least = 2048 if "vision" in model.capabilities else 4
        if wanted > trained:
            log.line("WARN", "sched.go:463", "requested context size too large for model",
                     num_ctx=wanted, n_ctx_train=trained)  # fmt: skip
        return max(least, min(wanted, trained))

    async def acquire(self, model: Model, options: Mapping[str, Any], keep_alive: int | None) -> Runner:
        """Return the model's runner, loaded and counted as busy; ApiError when it cannot be loaded."""
        wanted = {key: options.get(key) for key in _RELOAD} | {"num_ctx": self.context_for(model, options)}
        runner = self._runners.get(model.weights)
        if runner is None or runner.dead or runner.options != wanted:
            if self._loading.locked() and self._waiting >= self._settings.max_queue:
                raise ApiError(503, BUSY)
            self._waiting += self._loading.locked()
            counted = self._loading.locked()
            try:
                await self._loading.acquire()
            finally:
                self._waiting -= counted
            try:
                runner = await self._ensure(model, wanted)
            finally:
                self._loading.release()
        if keep_alive is not None:
            runner.keep_alive = keep_alive
        self._take(runner)
        return runner

    async def _ensure(self, model: Model, wanted: dict[str, Any]) -> Runner:
        runner = self._runners.get(model.weights)
        if runner is not None and runner.options == wanted and not runner.dead:
            return runner
        if runner is not None:
            await runner.idle.wait()
            self._drop(runner)
        await self._make_room()
        return await self._load(model, wanted)

    async def _make_room(self) -> None:
        limit = self._settings.max_loaded or 3
        while len(self._runners) >= limit:
            idle = [runner for runner in self._runners.values() if not runner.busy]
            if idle:
                self._drop(min(idle, key=lambda runner: runner.keep_alive))
                continue
            self._changed.clear()
            await self._changed.wait()

    async def _load(self, model: Model, wanted: dict[str, Any]) -> Runner:
        started = time.monotonic()
        context, slots = wanted["num_ctx"], self._settings.num_parallel
        command = f"llama-server --model {model.store.blob(model.weights)} -c {context * slots} -np {slots}"
        log.line("INFO", "llama_server.go:433", "starting llama-server", cmd=command)
        limit = self._settings.load_timeout
        seconds = self._faults.load_seconds
        if limit != FOREVER and seconds > limit / godata.SECOND:
            await asyncio.sleep(limit / godata.SECOND)
            raise self._failed(knobs.LOAD_ERRORS["timeout"])
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            log.line("WARN", "llama_server.go:1048", "client connection closed before llama-server finished loading, "
                     "aborting load")  # fmt: skip
            raise
        if self._faults.load_error:
            raise self._failed(knobs.LOAD_ERRORS.get(self._faults.load_error, self._faults.load_error))
        share = self._gpu_share(wanted)
        size = model.weights_size + context * slots * 64
        layers = model.value("block_count", 2) + 1
        log.raw(f"load_tensors: offloaded {round(layers * share)}/{layers} layers to GPU")
        runner = Runner(model, wanted, self._settings.keep_alive, context, size, int(size * share),
                        asyncio.Semaphore(slots))  # fmt: skip
        runner.idle.set()
        self._runners[model.weights] = runner
        log.line("INFO", "llama_server.go:1362",
                 f"llama-server started in {time.monotonic() - started:.2f} seconds")  # fmt: skip
        log.line("INFO", "sched.go:566", "loaded runners", count=len(self._runners))
        return runner

    @staticmethod
    def _failed(text: str) -> ApiError:
        log.line("ERROR", "sched.go:613", "Load failed", error=text)
        return ApiError(500, text)

    def _gpu_share(self, options: Mapping[str, Any]) -> float:
        share = gpu_share(self._faults.gpu)
        if self._settings.hidden_gpus or self._settings.library == "cpu" or options.get("num_gpu") == 0:
            return 0.0
        return share

    def _take(self, runner: Runner) -> None:
        runner.busy += 1
        runner.idle.clear()
        runner.expires = None
        if runner.timer is not None:
            runner.timer.cancel()
            runner.timer = None

    def release(self, runner: Runner) -> None:
        """Say that a call has ended; the timer starts when the last one has."""
        runner.busy -= 1
        if runner.busy:
            return
        runner.idle.set()
        self._changed.set()
        self._arm(runner)

    def _arm(self, runner: Runner) -> None:
        if runner.keep_alive == 0:
            self._drop(runner)
            return
        runner.expires = min(time.time_ns() + runner.keep_alive, FOREVER + time.time_ns())
        if runner.keep_alive != FOREVER:
            loop = asyncio.get_running_loop()
            runner.timer = loop.call_later(runner.keep_alive / godata.SECOND, self._drop, runner)

    def unload(self, model: Model) -> None:
        """Unload a model at once, or when its running call ends."""
        runner = self._runners.get(model.weights)
        if runner is None:
            return
        runner.keep_alive = 0
        if runner.busy:
            runner.expires = time.time_ns()
        else:
            self._drop(runner)

    def crash(self) -> None:
        """Let every runner die: they stay listed until a call touches them, as in the real server."""
        for runner in self._runners.values():
            runner.dead = True
            log.line("ERROR", "llama_server.go:1281", "llama-server exited", error="signal: killed")

    def _drop(self, runner: Runner) -> None:
        if runner.timer is not None:
            runner.timer.cancel()
        if self._runners.get(runner.model.weights) is runner:
            del self._runners[runner.model.weights]
        self._changed.set()


def gpu_share(text: str, fallback: Callable[[], float] = lambda: 0.0) -> float:
    """Turn the `gpu` knob (`none`, `full` or a fraction) into the part of a model that is on the GPU."""
    if text in {"none", ""}:
        return 0.0
    if text == "full":
        return 1.0
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return fallback()
