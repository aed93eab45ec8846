"""The gateway's state: the configuration it runs, which instances are healthy, and which one serves."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

_NOT_TIMED = str(2**64 - 1)
"""HAProxy's -1, of a check that did not end, printed without a sign."""


@dataclass(frozen=True)
class InstanceState:
    """An instance as the gateway sees it.

    ``up`` is False where the last check or the last connection failed, and True
    until the first check (``checked`` False, at most 2 s after a reload);
    ``why`` is HAProxy's result of the check (``L4CON in 0ms``, ``L7STS/401 in
    2ms``), ``seconds`` how long it has been so, ``active`` the requests that it
    serves now through the present worker.
    """

    name: str
    up: bool
    why: str
    seconds: int
    active: int
    fallback: bool = False
    checked: bool = True


@dataclass(frozen=True)
class GatewayState:
    """A running gateway. ``digest`` is that of what was rendered, ``none`` before the first configuration."""

    digest: str
    profile: str | None
    policy: str | None
    instances: tuple[InstanceState, ...]

    @property
    def serving(self) -> tuple[str, ...]:
        """Names of the instances that new requests go to; empty where none is healthy."""
        members = [i.name for i in self.instances if i.up and not i.fallback]
        if members:
            return tuple(members) if self.policy == "least_conn" else (members[0],)
        return tuple(i.name for i in self.instances if i.up and i.fallback)

    @property
    def on_fallback(self) -> bool:
        """Whether the fallback serves because no member can."""
        return any(i.fallback and i.name in self.serving for i in self.instances)

    @property
    def notice(self) -> str | None:
        """One line for the user where not everything is as the profile wants it."""
        down = ", ".join(f"{i.name} ({i.why})" for i in self.instances if not i.up and not i.fallback)
        if self.digest == "none":
            return "the gateway has no configuration yet"
        if self.on_fallback:
            return f"{self.serving[0]} serves as the fallback of {self.profile}; down: {down}"
        if not self.serving and self.instances:
            return f"no instance of {self.profile} is healthy; down: {down}"
        return f"{self.profile} is served by {', '.join(self.serving)}; down: {down}" if down else None


def parse(output: str) -> GatewayState:
    """Read what ``STATE`` printed; raises ``ValueError`` for anything else."""
    try:
        return _parsed(output)
    except (KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise ValueError(f"not what a gateway says: {error}") from None


def _parsed(output: str) -> GatewayState:
    first, _, rest = output.partition("\n")
    about: dict[str, Any] = json.loads(first)
    # HAProxy 2.6 sends its table in chunks even over HTTP/1.0: their lengths stand between the lines.
    table = "\n".join(line for line in rest.splitlines() if "," in line)
    rows = {
        row["# pxname"]: row
        for row in csv.DictReader(io.StringIO(table))
        if row.get("# pxname") == f"inner.{row.get('svname')}"
    }
    listed = [(m, False) for m in about["members"]]
    if about["fallback"]:
        listed.append((about["fallback"], True))
    return GatewayState(
        digest=about["digest"],
        profile=about["profile"],
        policy=about["policy"],
        instances=tuple(_instance(m["name"], rows.get(f"inner.{m['slug']}") or {}, fallback=f) for m, f in listed),
    )


def _instance(name: str, row: dict[str, str], *, fallback: bool) -> InstanceState:
    status = row.get("status") or "no check"
    check = (row.get("check_status") or "").removeprefix("* ")
    code = row.get("check_code") or ""
    took = (row.get("check_duration") or "").replace(_NOT_TIMED, "")
    why = check + (f"/{code}" if code else "") + (f" in {took}ms" if took else "") if check else status
    if status.startswith("MAINT"):
        why = "its name does not resolve"
    return InstanceState(
        name=name,
        up=status.startswith(("UP", "no check")),
        why=why,
        seconds=int(row.get("lastchg") or 0),
        active=int(row.get("scur") or 0),
        fallback=fallback,
        checked=check != "INI",
    )
