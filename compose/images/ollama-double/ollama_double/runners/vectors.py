"""Embeddings that depend on the words only: the same text gives the same vector, like texts give near ones."""

from __future__ import annotations

import functools
import hashlib
import math
import re

_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Return the tokens that an embedding counts."""
    return _WORD.findall(text.lower()) or [""]


@functools.lru_cache(maxsize=4096)
def _word(word: str, length: int) -> tuple[float, ...]:
    data = hashlib.shake_128(word.encode()).digest(2 * length)
    return tuple((data[2 * n] * 256 + data[2 * n + 1]) / 32767.5 - 1.0 for n in range(length))


def raw(text: str, length: int) -> list[float]:
    """Return the sum of the words' vectors, not normalised."""
    total = [0.0] * length
    for place, word in enumerate(words(text)):
        weight = 1.0 + 1.0 / (place + 1)
        for n, value in enumerate(_word(word, length)):
            total[n] += weight * value
    return total


def normalised(vector: list[float]) -> list[float]:
    """Return the vector at length one."""
    norm = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / norm for value in vector]


def embed(text: str, length: int, dimensions: int = 0) -> list[float]:
    """Return the normalised vector, cut to `dimensions` and normalised again where that is asked."""
    vector = normalised(raw(text, length))
    return normalised(vector[:dimensions]) if 0 < dimensions < length else vector
