"""Quotes values for HAProxy's configuration, so that no value can break out of its argument.

HAProxy's manual, 2.2 "Quoting and escaping": within single quotes everything is
literal but the quote itself. 8.2.6: in a log-format string only ``%`` is special.
"""

from __future__ import annotations

import json
import re

_PLAIN = re.compile(r"^[A-Za-z0-9_./:@=,+-]+$")


def quoted(value: str) -> str:
    """One argument, taken literally; raises ``ValueError`` for control characters."""
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise ValueError("control characters cannot stand in a header or a path")
    if _PLAIN.match(value):
        return value
    return "'" + value.replace("'", "'\"'\"'") + "'"


def literal(value: str) -> str:
    """Text for a log-format string: unquoted still, ``%`` escaped."""
    return value.replace("%", "%%")


def error_body(reason: str) -> str:
    """Ollama's own form of an error, as one argument."""
    return quoted(json.dumps({"error": f"stackctl gateway: {reason}"}))
