"""Holding an answer against what a step wants of it. Pure: an answer and a step in, complaints out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.contract.case import Part, Step
    from tests.support.rawhttp import Answer

_KINDS = {
    "string": lambda v: isinstance(v, str),
    "text": lambda v: isinstance(v, str) and v != "",
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "positive": lambda v: isinstance(v, int) and not isinstance(v, bool) and v > 0,
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "bool": lambda v: isinstance(v, bool),
    "list": lambda v: isinstance(v, list),
    "some": lambda v: isinstance(v, list) and v != [],
    "object": lambda v: isinstance(v, dict),
    "null": lambda v: v is None,
    "utc": lambda v: isinstance(v, str) and bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", v)),
    "local": lambda v: (
        isinstance(v, str) and bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", v))
    ),
    "hex64": lambda v: isinstance(v, str) and bool(re.fullmatch(r"[0-9a-f]{64}", v)),
    "digest": lambda v: isinstance(v, str) and bool(re.fullmatch(r"sha256:[0-9a-f]{64}", v)),
}
MISSING = object()


def look(value: Any, path: str) -> Any:
    """Return what lies at a dotted path (list indexes as numbers, keys may hold dots), or MISSING."""
    if path == "":
        return value
    parts = path.split(".")
    if isinstance(value, dict):
        for count in range(len(parts), 0, -1):
            key = ".".join(parts[:count])
            if key in value:
                return look(value[key], ".".join(parts[count:]))
    if isinstance(value, list) and parts[0].isdecimal() and int(parts[0]) < len(value):
        return look(value[int(parts[0])], ".".join(parts[1:]))
    return MISSING


def complaints(step: Step, answer: Answer) -> list[str]:
    """Return everything about the answer that is not as the step wants it."""
    found: list[str] = []
    if answer.status != step.status:
        found.append(f"status {answer.status}, not {step.status}")
    kind = answer.headers.get("content-type")
    if step.type is not None and (kind or "none") != step.type:
        found.append(f"content type {kind!r}, not {step.type!r}")
    for key, value in step.header.items():
        if answer.headers.get(key.lower()) != value:
            found.append(f"header {key} is {answer.headers.get(key.lower())!r}, not {value!r}")
    if step.body is not None and answer.text != step.body:
        found.append(f"body {answer.text[:80]!r}, not {step.body!r}")
    if _wants_objects(step):
        found += _objects(step, answer)
    return [*found, f"whole answer: {answer.text[:400]!r}"] if found else []


def _wants_objects(step: Step) -> bool:
    parts = (step.first, step.last, step.each)
    return bool(step.error or step.names) or any(part.fields or part.values or part.absent for part in parts)


def _objects(step: Step, answer: Answer) -> list[str]:
    try:
        objects, found = _read(step, answer)
    except ValueError as error:
        return [f"not {step.form}: {error}"]
    if not objects:
        return [*found, "nothing came"]
    found += _part("first", step.first, objects[0]) + _part("last", step.last, objects[-1])
    for number, value in enumerate(objects[:-1]):
        found += _part(f"number {number}", step.each, value)
    if step.error is not None:
        text = look(objects[-1], "error.message")
        text = look(objects[-1], "error") if text is MISSING else text
        if not isinstance(text, str) or not re.search(step.error, text):
            found.append(f"error {text!r} does not match {step.error!r}")
    return found


def _read(step: Step, answer: Answer) -> tuple[list[Any], list[str]]:
    if step.form == "lines":
        return [json.loads(line) for line in answer.text.splitlines() if line.strip()], []
    if step.form == "json":
        return [json.loads(answer.text)], []
    data = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    ended = bool(data) and data[-1] == "[DONE]"
    found = [] if ended == step.ended else [f"{'no ' if step.ended else ''}[DONE] at the end"]
    if step.names:
        names = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
        folded = [name for number, name in enumerate(names) if number == 0 or names[number - 1] != name]
        if folded != list(step.names):
            found.append(f"events {folded}, not {list(step.names)}")
    return [json.loads(each) for each in data if each != "[DONE]"], found


def _part(where: str, part: Part, value: Any) -> list[str]:
    found = []
    for path, kinds in part.fields.items():
        seen = look(value, path)
        if seen is MISSING or not any(_KINDS[kind](seen) for kind in kinds.split("|")):
            found.append(f"{where}: {path} is {'missing' if seen is MISSING else repr(seen)[:80]}, not {kinds}")
    for path, wanted in part.values.items():
        seen = look(value, path)
        if seen is MISSING or seen != wanted or isinstance(seen, bool) != isinstance(wanted, bool):
            found.append(f"{where}: {path} is {'missing' if seen is MISSING else repr(seen)[:80]}, not {wanted!r}")
    found += [f"{where}: {path} should be absent" for path in part.absent if look(value, path) is not MISSING]
    return found
