"""The causes as data, a file a layer, in the order in which look-alikes are tried: the more specific first."""

from __future__ import annotations

from functools import cache

from stackctl.diagnose.causes.model import Cause


@cache
def table() -> tuple[Cause, ...]:
    """Every row. One id may have several: each is one way to recognise it."""
    from stackctl.diagnose.causes import api, config, gpu, http, life, listen, names, route, tls  # noqa: PLC0415

    rows = [row for layer in (life, config, names, route, listen, tls, http, api, gpu) for row in layer.ROWS]
    return tuple(sorted(rows, key=lambda row: row.rank))


def recognised() -> list[str]:
    """The ids that the table can find, in its order."""
    return list(dict.fromkeys(row.id for row in table()))
