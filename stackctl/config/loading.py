"""From the bytes of ``stackctl.yaml`` to a :class:`StackConfig`, or to every problem at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from stackctl.config.interpolate import interpolate, is_secret_place
from stackctl.config.models import StackConfig
from stackctl.config.rules import check_rules
from stackctl.config.tree import MAX_BYTES, Path, Tree, parse
from stackctl.errors import ConfigError, Problem


def decode(data: bytes, file: str) -> str:
    """The text of a configuration file; :class:`ConfigError` for too much of it, or for what is no UTF-8."""
    if len(data) > MAX_BYTES:
        raise ConfigError(
            [Problem(file, 0, 0, f"the file is larger than {MAX_BYTES:,} bytes; no configuration needs that")]
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        message = f"not UTF-8 text (byte 0x{data[error.start]:02x})"
        raise ConfigError([Problem(file, line, column, message, "save the file as UTF-8")]) from None


def read_tree(data: bytes, file: str) -> Tree:
    """The parsed tree; raises :class:`ConfigError` when the text is no YAML mapping at all."""
    tree = parse(decode(data, file), file)
    if not isinstance(tree.data, dict):
        if not tree.problems:
            found = "empty" if tree.data is None else f"{_kind(tree.data)}, not a mapping"
            tree.problems.append(
                Problem(file, 1, 1, f"the file is {found}", "start with `version: 1`, or run `stackctl init`")
            )
        raise ConfigError(tree.problems)
    return tree


def environment_names(tree: Tree) -> list[str]:
    """Names under ``environments``, whether or not the rest is valid."""
    section = tree.data.get("environments")
    return [str(name) for name in section] if isinstance(section, dict) else []


def named_files(
    tree: Tree, environment: str | None, kind: Literal["files", "env_files"], variables: Mapping[str, str] | None = None
) -> Iterator[tuple[Path, str]]:
    """Entries of ``files`` or ``env_files`` in force for ``environment``, in order, each with its path.

    ``variables`` replace references in a tree that still has them.
    """
    for section in (("compose",), ("environments", environment)):
        found: Any = tree.data
        for key in (*section, kind):
            found = found.get(key) if isinstance(found, dict) else None
        for index, entry in enumerate(found if isinstance(found, list) else []):
            if isinstance(entry, str):
                name = Tree(entry)
                if variables is not None:
                    interpolate(name, variables, "")
                yield (*(str(part) for part in section), kind, index), name.data


def load(tree: Tree, file: str, variables: Mapping[str, str]) -> StackConfig:
    """Validate a parsed tree; ``variables`` are what ``${NAME}`` may refer to.

    Raises :class:`ConfigError` with every problem of the file, in file order.
    """
    interpolate(tree, variables, file)
    problems = [*tree.problems, *check_rules(tree, file)]
    # One problem a place: that of a rule says more than that of a type.
    blamed = {(p.line, p.column) for p in problems}
    config: StackConfig | None = None
    try:
        config = StackConfig.model_validate(tree.data)
    except ValidationError as error:
        for problem, more in _translate(error, tree, file):
            if more or (problem.line, problem.column) not in blamed:
                problems.append(problem)
    if problems or config is None:
        raise ConfigError(list(dict.fromkeys(problems)))
    return config


def _translate(error: ValidationError, tree: Tree, file: str) -> list[tuple[Problem, bool]]:
    """Pydantic's errors as problems; with each, whether a key is missing or unknown, which no rule reports."""
    found: dict[Path, tuple[Problem, bool]] = {}
    for item in error.errors(include_url=False):
        path, is_key = _path(item["loc"], tree.data)
        absent = item["type"] == "missing"
        place = (*path, item["loc"][-1]) if absent else path
        if place in found:
            continue
        line, column = tree.position(path, key=absent or is_key or item["type"] == "extra_forbidden")
        message, hint = _wording(item, path, is_key)
        found[place] = Problem(file, line, column, message, hint), absent or item["type"] == "extra_forbidden"
    meant = {(*path[:-1], near) for path in found if path and (near := _near_key(path))}
    # Where a value may be a word or a mapping, only the problems inside the mapping are reported; where a key is
    # missing because it is misspelt, only the misspelling is.
    return [
        problem
        for path, problem in found.items()
        if path not in meant and not any(len(o) > len(path) and o[: len(path)] == path for o in found)
    ]


def _path(loc: tuple[int | str, ...], data: Any) -> tuple[Path, bool]:
    """Pydantic's location without the tags of unions and chains, and whether a key itself is to blame."""
    path: list[str | int] = []
    here = data
    for part in loc:
        if (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        ):
            here = cast("Any", here)[part]
            path.append(part)
        elif part == "[key]":
            return tuple(path), True
    return tuple(path), False


def dotted(path: Path) -> str:
    """``instances.gpu-box.url`` or ``models[0]``: a path as people write it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _wording(item: Any, path: Path, is_key: bool) -> tuple[str, str]:
    name, kind, context = dotted(path), item["type"], item.get("ctx") or {}
    if is_secret_place(path) and not is_key and kind.endswith(("_type", "_mismatch")):
        # The value is not shown: it may be the secret itself.
        wanted = "a mapping" if kind in ("model_type", "dict_type") else "text holding a reference"
        return f"{name}: expected {wanted}", "write ${NAME}, ${file:PATH} or ${cmd:COMMAND} where the secret goes"
    where = f"{name}: " if name else ""
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        missing = str(item["loc"][-1])
        return f'{where}the key "{missing}" is missing', f"add `{missing}: {'1' if missing == 'version' else '…'}`"
    if is_key:
        return f"{dotted(path[:-1])}: {_shown(path[-1])} is no valid name", ""
    if kind == "value_error":
        message, _, corrected = str(context.get("error", item["msg"])).partition(" → ")
        return f"{where}{message}", f"{path[-1]}: {corrected}" if corrected else ""
    if kind == "literal_error":
        expected = str(context["expected"])
        return f"{where}{_shown(item['input'])} is not one of {expected}", _nearest(str(item["input"]), expected)
    if kind == "string_pattern_mismatch":
        wanted = _wanted_at(path)
        return f"{where}{_shown(item['input'])} is no {wanted}", _hints().get(str(path[-1]), "")
    return f"{where}{_plainly(kind, item, context)}", ""


def _plainly(kind: str, item: Any, context: Mapping[str, Any]) -> str:
    wanted = {
        "string_type": "text",
        "int_type": "a whole number",
        "bool_type": "true or false",
        "list_type": "a list",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "float_type": "a number",
        "int_from_float": "a whole number",
    }.get(kind)
    if wanted:
        given = "nothing" if item["input"] is None else f"{_shown(item['input'])}, {_kind(item['input'])}"
        quote = " (put it in quotes)" if wanted == "text" and isinstance(item["input"], int | float | bool) else ""
        return f"expected {wanted}, got {given}{quote}"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    limits = [
        f"{word} {context[key]}"
        for key, word in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than"))
        if key in context
    ]
    if limits:
        return f"{_shown(item['input'])} is out of range: {', '.join(limits)}"
    return str(item["msg"])


def _kind(value: Any) -> str:
    return {
        str: "text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    text = "".join(c if c.isprintable() else "�" for c in text)
    return f'"{text[:60]}…"' if len(text) > 60 else f'"{text}"'


def _wanted_at(path: Path) -> str:
    """What a text at ``path`` is to be, in words, where a pattern says it."""
    words = {
        "project": "name of a Compose project",
        "http": "URL with http:// or https://",
        "models": "name of a model",
        "publish": "port, nor ADDRESS:PORT",
        "address": "IP address, nor `host-gateway`",
        "keep_alive": "duration such as 30m or 24h, nor -1 for ever",
        "load_timeout": "duration such as 5m",
        "server_name": "host name",
        "endpoints": "path that begins with a slash",
    }
    return next((words[str(part)] for part in reversed(path) if part in words), "valid name")


def _hints() -> dict[str, str]:
    return {
        "publish": "publish: 127.0.0.1:11434",
        "address": "address: 192.168.1.100",
        "keep_alive": "keep_alive: 24h",
        "project": "lower-case letters, digits, - and _",
        "shared": "shared: ollama-net",
    }


def _unknown_key(path: Path) -> tuple[str, str]:
    known = known_keys(path[:-1])
    parent = dotted(path[:-1])
    message = f"unknown key {_shown(str(path[-1]))}" + (f" in {parent}" if parent else "")
    if near := _near_key(path):
        return message, f'did you mean "{near}"?'
    return message, f"valid here: {', '.join(known)}" if known else ""


def _near_key(path: Path) -> str:
    """The valid key that a wrong one was probably meant to be; empty where none is near, or it is a valid one."""
    known, key = known_keys(path[:-1]), str(path[-1])
    if key in known:
        return ""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5) or [k for k in known if k.startswith(key)]
    return close[0] if close else ""


def _nearest(value: str, expected: str) -> str:
    choices = [c.strip(" '") for part in expected.split(" or ") for c in part.split(",")]
    close = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else ""


def known_keys(path: Path) -> list[str]:
    """The keys that a mapping at ``path`` may have, from the models; empty where any key goes."""
    here: Any = StackConfig
    for part in path:
        here = _descend(here, part)
        if here is None:
            return []
    model = _model_of(here)
    return list(model.model_fields) if model else []


def _descend(annotation: Any, part: str | int) -> Any:
    if get_origin(annotation) in (dict, list):
        return get_args(annotation)[-1]
    model = _model_of(annotation)
    field = model.model_fields.get(str(part)) if model else None
    return field.annotation if field else None


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) in (dict, list):
        return None
    for inner in [annotation, *get_args(annotation)]:
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None
