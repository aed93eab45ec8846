"""From a call to its pieces: the runner is held, the pace kept, and the faults of a stream happen."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_double import godata, log
from ollama_double.faults import RUNNER_DIED
from ollama_double.net.web import ApiError, CutError
from ollama_double.runners import talk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ollama_double.app import App
    from ollama_double.runners.scheduler import Runner

_INTS = {
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "seed", "num_predict", "top_k",
    "repeat_last_n", "draft_num_predict",
}  # fmt: skip
_FLOATS = {"temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty"}
_BOOLS = {"use_mmap", "penalize_newline"}
_KNOWN = _INTS | _FLOATS | _BOOLS | {"stop"}
TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; "
    "shorten the prompt or raise the context length"
)


@dataclass(frozen=True)
class Piece:
    """A part of an answer; the last one has `done` and the figures."""

    content: str = ""
    thinking: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False
    reason: str = ""
    figures: dict[str, int] = field(default_factory=dict)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise the real server's 500 for an option of the wrong type; unknown ones are ignored."""
    for key, value in options.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        wanted = None
        if value is None:
            continue
        if key in _INTS and not number:
            wanted = "integer"
        elif key in _FLOATS and not number:
            wanted = "float32"
        elif key in _BOOLS and not isinstance(value, bool):
            wanted = "boolean"
        elif key == "stop" and not isinstance(value, list):
            wanted = "array"
        elif key not in _KNOWN:
            log.line("WARN", "types.go:1040", "invalid option provided", option=key)
        if wanted:
            raise ApiError(500, f'option "{key}" must be of type {wanted}')


def check_format(form: Any) -> None:
    """Raise the real server's 500 for a `format` that is neither `json` nor a schema."""
    if form not in (None, "", "json") and not isinstance(form, dict):
        import json  # noqa: PLC0415 - only the refusal needs it

        shown = godata.quote(json.dumps(form, separators=(",", ":"), ensure_ascii=False))
        raise ApiError(500, f'invalid format: {shown}; expected "json" or a valid JSON Schema object')


async def pieces(
    app: App, runner: Runner, ask: talk.Ask, *, started: int, truncate: bool = True
) -> AsyncIterator[Piece]:
    """Yield the answer's pieces and let the runner go at the end, whatever the end is."""
    try:
        check_format(ask.form)
        async with runner.slots:
            loaded = time.time_ns()
            reply = talk.answer(ask)
            if not truncate and reply.prompt_tokens > runner.context:
                raise ApiError(400, TOO_LONG)
            if reply.prompt_tokens > runner.context:
                log.line(
                    "WARN", "runner.go:153", "truncating input prompt", limit=runner.context, prompt=reply.prompt_tokens
                )
            async for piece in _paced(app, ask, reply):
                if runner.dead:
                    raise ApiError(500, RUNNER_DIED)
                yield piece
                if piece.done:
                    return
            now = time.time_ns()
            evaluated = max(1, (now - loaded) // 10)
            yield Piece(
                done=True,
                reason=reply.reason,
                figures={
                    "total_duration": max(3, now - started),
                    "load_duration": max(1, loaded - started),
                    "prompt_eval_count": min(reply.prompt_tokens, runner.context),
                    "prompt_eval_duration": evaluated,
                    "eval_count": reply.count,
                    "eval_duration": max(1, now - loaded - evaluated),
                },
            )
    finally:
        app.scheduler.release(runner)


class SilentEndError(Exception):
    """The stream ends with neither a last piece nor an error, as the real one sometimes does."""


async def _paced(app: App, ask: talk.Ask, reply: talk.Answer) -> AsyncIterator[Piece]:
    wanted, faults = talk.directive(ask.prompt), app.faults
    first = wanted.get("first", faults.first_token_seconds)
    rate = wanted.get("tps", faults.tokens_per_second)
    cut = int(wanted.get("cut", faults.cut_after_tokens))
    stop = int(wanted.get("stop", faults.stop_after_tokens))
    error = int(wanted.get("error", faults.error_after_tokens))
    if first:
        await asyncio.sleep(first)
    begun = asyncio.get_running_loop().time()
    stream = [Piece(thinking=token) for token in reply.thinking]
    stream += [Piece(tool_calls=[call]) for call in reply.tool_calls]
    stream += [Piece(content=token) for token in reply.content]
    for count, piece in enumerate(stream):
        if count == cut:
            raise CutError
        if count == stop:
            raise SilentEndError
        if count == error:
            raise ApiError(500, faults.error_text)
        if rate and count:
            # Against the clock, not a sleep each: the pace holds however late a wake-up is.
            await asyncio.sleep(max(0.0, begun + count / rate - asyncio.get_running_loop().time()))
        elif count % 32 == 31:
            # A long answer without a pace must not keep the others waiting.
            await asyncio.sleep(0)
        yield piece
