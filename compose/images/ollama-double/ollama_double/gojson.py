"""Decoding a request body the way encoding/json does: loose keys, typed fields, its error texts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_SPACE = " \t\r\n"


class BadJSONError(ValueError):
    """The body is no JSON, or a field has the wrong type; the text is Go's."""


class NoBodyError(ValueError):
    """The body is empty (io.EOF)."""


@dataclass(frozen=True)
class Struct:
    """A Go struct: its name and the kind of each field.

    A kind is a Go type name (`string`, `bool`, `int`, `float64`), `any`, `map`, `strings` (a map of texts),
    another Struct, or a one-element list of a kind for a slice.
    """

    name: str
    fields: dict[str, Any]


def _refuse(name: str) -> Any:
    raise ValueError(f"invalid character {_char(name[:1])} looking for beginning of value")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _char(char: str) -> str:
    return "'\\''" if char == "'" else f"'{json.dumps(char, ensure_ascii=False)[1:-1]}'" if char != '"' else "'\"'"


def decode(body: bytes, shape: Struct) -> dict[str, Any]:
    """Return the first JSON value of `body` as a dict of the fields present and not null.

    Raises NoBodyError for an empty body and BadJSONError for everything else.
    """
    text = body.decode("utf-8", "replace").lstrip(_SPACE)
    if not text:
        raise NoBodyError("EOF")
    try:
        value, _ = _DECODER.raw_decode(text)
    except RecursionError:
        raise BadJSONError("exceeded max depth") from None
    except json.JSONDecodeError as error:
        raise BadJSONError(_syntax(text, error)) from None
    except ValueError as error:
        raise BadJSONError(str(error)) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadJSONError(f"json: cannot unmarshal {_kind(value)} into Go value of type api.{shape.name}")
    return _struct(value, shape, shape.name)


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    at = error.pos
    if "Unterminated string" in error.msg or at >= len(text):
        return "unexpected EOF"
    char = _char(text[at])
    if "property name" in error.msg:
        if text[at] == "}":
            return f"invalid character {char} looking for beginning of object key string"
        return f"invalid character {char} looking for beginning of object key string"
    if "':' delimiter" in error.msg:
        return f"invalid character {char} after object key"
    if "',' delimiter" in error.msg:
        depth = text[:at].rstrip(_SPACE)
        return f"invalid character {char} after {'array element' if _in_array(depth) else 'object key:value pair'}"
    if "control character" in error.msg:
        return f"invalid character {char} in string literal"
    if "escape" in error.msg:
        return f"invalid character {_char(text[at + 1 : at + 2] or text[at])} in string escape code"
    return f"invalid character {char} looking for beginning of value"


def _in_array(text: str) -> bool:
    depth = 0
    for char in reversed(text):
        if char in "]}":
            depth += 1
        elif char in "[{":
            if depth == 0:
                return char == "["
            depth -= 1
    return False


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _struct(value: dict[str, Any], shape: Struct, path: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    folded = {name.lower(): name for name in shape.fields}
    for key, item in value.items():
        name = key if key in shape.fields else folded.get(key.lower())
        if name is None or item is None:
            continue
        out[name] = _typed(item, shape.fields[name], f"{path}.{name}")
    return out


def _typed(item: Any, kind: Any, path: str) -> Any:
    if kind == "any":
        return item
    if isinstance(kind, Struct):
        if not isinstance(item, dict):
            raise _mismatch(item, path, f"api.{kind.name}")
        return _struct(item, kind, path)
    if isinstance(kind, list):
        if not isinstance(item, list):
            raise _mismatch(item, path, f"[]{_go_name(kind[0])}")
        return [_zero(kind[0]) if entry is None else _typed(entry, kind[0], path) for entry in item]
    if kind == "strings":
        return _strings(item, path)
    good = {
        "string": isinstance(item, str),
        "bool": isinstance(item, bool),
        "int": isinstance(item, int) and not isinstance(item, bool),
        "float64": isinstance(item, int | float) and not isinstance(item, bool),
        "map": isinstance(item, dict),
    }[kind]
    if not good:
        what = f"number {item}" if kind == "int" and isinstance(item, float) else None
        raise _mismatch(item, path, _go_name(kind), what)
    return item


def _strings(item: Any, path: str) -> dict[str, str]:
    if not isinstance(item, dict):
        raise _mismatch(item, path, "map[string]string")
    for value in item.values():
        if value is not None and not isinstance(value, str):
            raise _mismatch(value, path, "string")
    return {key: value or "" for key, value in item.items()}


def _zero(kind: Any) -> Any:
    if isinstance(kind, Struct):
        return {}
    return {"string": "", "bool": False, "int": 0, "float64": 0, "map": {}}.get(kind) if isinstance(kind, str) else []


def _go_name(kind: Any) -> str:
    if isinstance(kind, Struct):
        return f"api.{kind.name}"
    return "map[string]interface {}" if kind == "map" else str(kind)


def _mismatch(item: Any, path: str, wanted: str, what: str | None = None) -> BadJSONError:
    return BadJSONError(f"json: cannot unmarshal {what or _kind(item)} into Go struct field {path} of type {wanted}")
