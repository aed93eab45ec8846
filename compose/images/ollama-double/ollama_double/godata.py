"""The scalar formats a Go server speaks: durations, timestamps, booleans, quoted strings."""

from __future__ import annotations

import datetime as dt
import json
import re

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")
MAX_NS = 2**63 - 1
SECOND = 10**9


def quote(text: str) -> str:
    """Return `text` as Go's %q prints it."""
    return json.dumps(text, ensure_ascii=False)


def parse_duration(text: str) -> int:
    """Read a Go duration such as `1h30m` into nanoseconds; ValueError carries Go's own wording."""
    invalid = ValueError(f"time: invalid duration {quote(text)}")
    sign, rest = 1, text
    if rest[:1] in {"+", "-"}:
        sign, rest = (-1 if rest[0] == "-" else 1), rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise invalid
    total = 0.0
    while rest:
        match = _PART.match(rest)
        if match is None:
            raise invalid
        number, unit = match.groups()
        if not unit:
            raise ValueError(f"time: missing unit in duration {quote(text)}")
        if unit not in _UNITS:
            raise ValueError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        total += float(number) * _UNITS[unit]
        rest = rest[match.end() :]
    if total > MAX_NS:
        raise invalid
    return sign * int(total)


def show_duration(nanoseconds: int) -> str:
    """Write nanoseconds the way Go prints a Duration, e.g. `1.5ms` or `2m3s`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if rest < size * 1_000:
            return f"{sign}{_trim(rest / size, 6)}{unit}"
    seconds, fraction = divmod(rest, SECOND)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{_trim(seconds + fraction / SECOND, 9)}s"
    if hours:
        text = f"{hours}h{minutes}m{text}"
    elif minutes:
        text = f"{minutes}m{text}"
    return sign + text


def _trim(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def timestamp(nanoseconds: int, *, local: bool = False) -> str:
    """Write an instant (ns since 1970) as RFC 3339 with up to nine fraction digits."""
    seconds, fraction = divmod(nanoseconds, SECOND)
    moment = dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    if local:
        moment = moment.astimezone()
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    offset = moment.strftime("%z")
    zone = "Z" if offset in {"", "+0000"} else f"{offset[:3]}:{offset[3:5]}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}{digits}{zone}"


def parse_bool(text: str) -> bool:
    """Read a boolean variable: whatever Go cannot parse counts as true, as in the real server."""
    return text not in {"0", "f", "F", "false", "FALSE", "False", ""}
