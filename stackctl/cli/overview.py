"""The text of ``stackctl --help``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence


def overview(
    sections: Sequence[str],
    verbs: Mapping[str, tuple[str, str, str]],
    options: Sequence[tuple[str, str]],
    examples: Sequence[tuple[str, str]],
) -> str:
    """Sections of verbs, then options and examples; headings in bold where colour is wanted."""
    bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def heading(text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if bold else text

    lines = [
        "Point any Docker Compose stack at any Ollama, and prove that it got there.",
        "",
        f"{heading('Usage:')} stackctl [OPTIONS] VERB [ARGS]",
    ]
    for section in sections:
        lines += ["", heading(section)]
        lines += [f"  {name:<11} {text}" for name, (_, place, text) in verbs.items() if place == section]
    lines += ["", heading("Options (before or after the verb)")]
    lines += [f"  {name:<21} {text}" for name, text in options]
    lines += ["", heading("Examples")]
    lines += [f"  {command:<44} {text}" for command, text in examples]
    lines += [
        "",
        heading("Exit codes"),
        "  0 done   1 a check failed   2 wrong usage or file   3 bug   4 rollback failed",
        "  5 no Docker engine or Compose   6 locked by another stackctl   130 interrupted",
    ]
    return "\n".join(lines) + "\n"
