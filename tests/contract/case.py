"""The form of a contract case, read from `cases/*.yaml`.

A case has an `id`, what must hold before it (`given`, see `arrange.py`), and one step or several `steps`.
A step asks (`ask: METHOD /path`, `headers`, and `json` or `text`) and says what must come:

  status   the HTTP status
  type     the content type, exactly; `none` for no such header
  header   headers that must be there, with their values
  body     the whole body as text
  error    a pattern that `error`, or `error.message`, of the last object matches
  form     json (the default), lines (NDJSON) or events (server-sent events)
  ended    for events: whether `data: [DONE]` must end them (default yes)
  names    for events: the names of the events in order, repetitions folded
  fields   dotted path -> kind of value, in the first object; kinds may be joined with |
  values   dotted path -> exact value, in the first object
  absent   dotted paths that the first object must not have
  last     {fields, values, absent} for the last object
  each     {fields, values, absent} for every object but the last
  within   seconds in which the step is tried again until it holds
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "cases"
_PART_KEYS = {"fields", "values", "absent"}
_STEP_KEYS = _PART_KEYS | {
    "ask",
    "headers",
    "json",
    "text",
    "status",
    "type",
    "header",
    "body",
    "error",
    "form",
    "ended",
    "names",
    "last",
    "each",
    "within",
}
_CASE_KEYS = _STEP_KEYS | {"id", "given", "steps", "why"}


@dataclass(frozen=True)
class Part:
    """What must hold of one object."""

    fields: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One request and what must come of it."""

    method: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body_sent: bytes | str | dict[str, Any] | list[Any] | None = None
    type: str | None = None
    header: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    error: str | None = None
    form: str = "json"
    ended: bool = True
    names: tuple[str, ...] = ()
    first: Part = Part()
    last: Part = Part()
    each: Part = Part()
    within: float = 0.0


@dataclass(frozen=True)
class Case:
    """A case of the contract."""

    id: str
    given: tuple[str, ...]
    steps: tuple[Step, ...]


def load(folder: Path = FOLDER) -> list[Case]:
    """Read every case; ValueError for an unknown key or an id used twice."""
    cases: list[Case] = []
    for path in sorted(folder.glob("*.yaml")):
        for value in yaml.safe_load(path.read_text()):
            case = _case(value)
            cases.append(replace(case, id=f"{path.stem}.{case.id}"))
    ids = [case.id for case in cases]
    twice = {each for each in ids if ids.count(each) > 1}
    if twice:
        raise ValueError(f"ids used twice: {', '.join(sorted(twice))}")
    return cases


def _case(value: dict[str, Any]) -> Case:
    unknown = value.keys() - _CASE_KEYS
    if unknown:
        raise ValueError(f"case {value.get('id')}: unknown keys {sorted(unknown)}")
    steps = value.get("steps") or [{key: item for key, item in value.items() if key in _STEP_KEYS}]
    return Case(value["id"], tuple(value.get("given", ())), tuple(_step(value["id"], step) for step in steps))


def _step(name: str, value: dict[str, Any]) -> Step:
    unknown = value.keys() - _STEP_KEYS
    if unknown:
        raise ValueError(f"case {name}: unknown keys {sorted(unknown)}")
    method, _, path = value["ask"].partition(" ")
    return Step(
        method,
        path,
        value["status"],
        headers=value.get("headers", {}),
        body_sent=value.get("json", value.get("text")) if "json" not in value else value["json"],
        type=value.get("type"),
        header=value.get("header", {}),
        body=value.get("body"),
        error=value.get("error"),
        form=value.get("form", "json"),
        ended=value.get("ended", True),
        names=tuple(value.get("names", ())),
        first=_part(value),
        last=_part(value.get("last", {})),
        each=_part(value.get("each", {})),
        within=value.get("within", 0.0),
    )


def _part(value: dict[str, Any]) -> Part:
    return Part(value.get("fields", {}), value.get("values", {}), tuple(value.get("absent", ())))


def filled(value: Any, words: dict[str, str]) -> Any:
    """Return `value` with `{word}` replaced in every text in it, keys too."""
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(f"{{{word}}}", text)
        return value
    if isinstance(value, dict):
        return {filled(key, words): filled(item, words) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(filled(item, words) for item in value)
    if isinstance(value, Part):
        return Part(filled(value.fields, words), filled(value.values, words), filled(value.absent, words))
    if isinstance(value, Step):
        return Step(**{name: filled(getattr(value, name), words) for name in value.__dataclass_fields__})
    return value
