"""The journal of the transaction under way: what it started from, which steps it began, how it ended.

One JSON object a line. A journal without an end is a transaction whose process
was killed; its ``begin`` line holds all that undoing needs. No secret is in it:
the override names variables, never values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.errors import WrongInput
from stackctl.transaction.observed import Observed
from stackctl.transaction.steps import Plan

SCHEMA = "stackctl.journal/2"


@dataclass(frozen=True)
class Snapshot:
    """The stack before the transaction: all that is needed to restore it.

    ``containers`` maps each service to ``{"id", "name", "state"}`` of its
    containers; ``override`` and ``state`` are texts of files, None where there
    were none.
    """

    containers: Mapping[str, list[dict[str, str]]] = field(default_factory=dict)
    override: str | None = None
    state: str | None = None
    networks: tuple[str, ...] = ()
    gateway: tuple[str, str] | None = None
    """Digest and text of what the gateway ran; no secret is in it."""

    @classmethod
    def of(cls, observed: Observed, state_text: str | None) -> Snapshot:
        """Take the snapshot of what was observed."""
        containers: dict[str, list[dict[str, str]]] = {}
        for container in observed.containers:
            known = {"id": container.id, "name": container.name, "state": container.state}
            containers.setdefault(container.service, []).append(known)
        return cls(containers, observed.override, state_text, tuple(sorted(observed.networks)), observed.gateway)


@dataclass(frozen=True)
class Pending:
    """A transaction that did not end."""

    purpose: str
    pid: int
    since: float
    environment: str | None
    snapshot: Snapshot
    saved: bool
    """Whether the state was saved already: then only the end line is missing, and nothing is undone."""
    signed: str = field(default="", repr=False)
    signature: str = ""
    """Below ``signed``, what the first line says. Whoever undoes checks it: the file may have come from afar."""


def begin_line(
    purpose: str,
    pid: int,
    now: float,
    environment: str | None,
    snapshot: Snapshot,
    plan: Plan,
    sign: Callable[[str], str] = lambda _text: "",
) -> str:
    """The first line, with the signature that ``sign`` makes of all the rest of it."""
    begin = {
        "event": "begin",
        "schema": SCHEMA,
        "purpose": purpose,
        "pid": pid,
        "at": now,
        "environment": environment,
        "snapshot": {
            "containers": snapshot.containers,
            "override": snapshot.override,
            "state": snapshot.state,
            "networks": list(snapshot.networks),
            "gateway": list(snapshot.gateway) if snapshot.gateway else None,
        },
        "steps": [str(step) for step in plan.steps],
    }
    return json.dumps({**begin, "signature": sign(json.dumps(begin))})


def step_line(event: str, index: int, kind: str, now: float) -> str:
    """``event`` is ``start`` or ``done``."""
    return json.dumps({"event": event, "step": index, "kind": kind, "at": now})


def end_line(result: str, now: float) -> str:
    """``result`` is ``kept`` or ``undone``."""
    return json.dumps({"event": "end", "result": result, "at": now})


def pending(text: str, where: str = "journal.jsonl") -> Pending | None:
    """The unfinished transaction in a journal, or None.

    A last line that a crash cut off is ignored. Raises
    :class:`WrongInput` for a journal of another version or edited by hand:
    undoing from half a snapshot would remove what was there before.
    """
    begin: dict[str, Any] | None = None
    saved = False
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            event = entry["event"]
        except (ValueError, TypeError, KeyError):
            if number < len(lines):
                raise _unreadable(where) from None
            continue
        if event == "begin":
            if entry.get("schema") != SCHEMA:
                raise WrongInput(
                    f"{where} was written by another version of stackctl ({entry.get('schema')})",
                    hint="finish with that version: stackctl rollback",
                    where=where,
                )
            begin, saved = entry, False
        elif event == "done" and entry.get("kind") == "SaveState":
            saved = True
        elif event == "end":
            begin = None
    try:
        return None if begin is None else _pending(begin, saved=saved)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise _unreadable(where) from None


def _pending(begin: dict[str, Any], *, saved: bool) -> Pending:
    shot = begin["snapshot"]
    containers = {
        str(service): [{key: str(c[key]) for key in ("id", "name", "state")} for c in found]
        for service, found in shot["containers"].items()
    }
    for text in (shot["override"], shot["state"]):
        if not isinstance(text, str | None):
            raise TypeError
    ran = shot["gateway"]
    signature = str(begin.pop("signature"))
    return Pending(
        signed=json.dumps(begin),
        signature=signature,
        purpose=str(begin["purpose"]),
        pid=int(begin["pid"]),
        since=float(begin["at"]),
        environment=begin["environment"],
        snapshot=Snapshot(
            containers,
            shot["override"],
            shot["state"],
            tuple(str(n) for n in shot["networks"]),
            (str(ran[0]), str(ran[1])) if ran else None,
        ),
        saved=saved,
    )


def _unreadable(where: str) -> WrongInput:
    return WrongInput(
        f"{where} cannot be read: it was damaged or edited by hand, and it says what an unfinished transaction began",
        hint=f"docker compose ps   # look at the stack\nrm {where}   # where it is as you want it; then stackctl up",
        where=where,
    )
