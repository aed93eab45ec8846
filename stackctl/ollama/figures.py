"""Figures of one answer: time to first token, tokens a second, where the model ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.ollama import model_names
from stackctl.ollama.listing import Loaded
from stackctl.ollama.text import number

_NANO = 1e9


@dataclass(frozen=True)
class Figures:
    """Seconds and counts; None where the server did not say.

    ``first_token`` is measured here, load time included; ``load`` and ``tokens_per_second`` are the server's own.
    """

    first_token: float | None = None
    total: float | None = None
    load: float | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    tokens_per_second: float | None = None
    prompt_tokens_per_second: float | None = None
    processor: str | None = None

    def document(self) -> dict[str, Any]:
        """For JSON; seconds rounded to the millisecond, rates to a tenth."""
        return {
            "first_token_s": _rounded(self.first_token, 3),
            "total_s": _rounded(self.total, 3),
            "load_s": _rounded(self.load, 3),
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
            "tokens_per_second": _rounded(self.tokens_per_second, 1),
            "prompt_tokens_per_second": _rounded(self.prompt_tokens_per_second, 1),
            "processor": self.processor,
        }

    @property
    def text(self) -> str:
        """One line for people."""
        parts = []
        if self.first_token is not None:
            parts.append(f"first token after {self.first_token:.2f} s")
        if self.tokens_per_second is not None:
            parts.append(f"{self.tokens_per_second:.1f} tokens/s")
        parts.append(f"{self.tokens} tokens")
        if self.load and self.load >= 0.1:
            parts.append(f"load {self.load:.1f} s")
        if self.processor:
            parts.append(self.processor)
        return ", ".join(parts)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def figures(
    last: Mapping[str, Any], *, first_token: float | None, total: float | None, processor: str | None = None
) -> Figures:
    """From the last line of a stream (durations in nanoseconds, each left out when 0) and our own clock."""
    tokens, prompt = number(last.get("eval_count")), number(last.get("prompt_eval_count"))
    evaluated, read = number(last.get("eval_duration")) / _NANO, number(last.get("prompt_eval_duration")) / _NANO
    return Figures(
        first_token=first_token,
        total=total,
        load=number(last.get("load_duration")) / _NANO,
        prompt_tokens=prompt,
        tokens=tokens,
        tokens_per_second=tokens / evaluated if evaluated > 0 else None,
        prompt_tokens_per_second=prompt / read if read > 0 else None,
        processor=processor,
    )


def processor_of(model: str, loaded: Sequence[Loaded], digest: str = "") -> str | None:
    """Where ``model`` runs, from ``/api/ps``. A copy under another name is listed by its digest's first name."""
    for item in loaded:
        if model_names.same(item.name, model) or (digest and item.digest == digest):
            return item.processor
    return None
