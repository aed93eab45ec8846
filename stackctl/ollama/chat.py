"""One answer of a model, streamed, with its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.ollama.client import OllamaClient
from stackctl.ollama.errors import OllamaError
from stackctl.ollama.figures import Figures, figures, processor_of
from stackctl.ollama.text import mapping, printable


@dataclass(frozen=True)
class Reply:
    """The model's answer, its thinking, and the figures; ``reason`` is Ollama's ``done_reason``."""

    text: str
    thinking: str
    figures: Figures
    reason: str = ""


class Broken(Exception):
    """An answer that failed; ``begun`` where a token had arrived, so that no other server may start the answer anew."""

    def __init__(self, error: OllamaError, begun: bool) -> None:
        super().__init__(error.message)
        self.error, self.begun = error, begun


def answer(
    client: OllamaClient,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    write: Callable[[str, bool], None],
    *,
    digest: str = "",
) -> Reply:
    """Stream one answer; ``write`` gets each piece of printable text, and whether it is thinking.

    Raises :class:`Broken`. An interrupt closes the stream, which stops the server's work.
    """
    begun, first = time.monotonic(), None
    said: list[str] = []
    thought: list[str] = []
    last: Mapping[str, Any] = {}
    try:
        for line in client.chat(model, messages):
            message = mapping(line.get("message"))
            for key, parts in (("thinking", thought), ("content", said)):
                piece = message.get(key)
                if isinstance(piece, str) and piece:
                    first = time.monotonic() if first is None else first
                    if key == "content" and thought and not said:
                        write("\n\n", False)
                    parts.append(piece)
                    write(printable(piece), key == "thinking")
            last = line
    except OllamaError as error:
        if first is not None:
            write("\n", False)
        raise Broken(error, first is not None) from error
    total = time.monotonic() - begun
    counted = figures(
        last,
        first_token=None if first is None else first - begun,
        total=total,
        processor=_processor(client, model, digest),
    )
    return Reply("".join(said), "".join(thought), counted, str(last.get("done_reason") or ""))


def _processor(client: OllamaClient, model: str, digest: str) -> str | None:
    try:
        return processor_of(model, client.ps(), digest)
    except OllamaError:
        return None
