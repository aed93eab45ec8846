"""A scene as JSON and back: plain dataclasses by their types, so that what was seen once can be judged again."""

from __future__ import annotations

import base64
import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from stackctl.config.url import OllamaUrl
from stackctl.diagnose.scene import Scene

T = TypeVar("T")
_KNOWN: dict[type[Any], dict[str, Any]] = {}
"""The types of the fields, by dataclass: to read them costs far more than to use them."""


@dataclasses.dataclass(frozen=True)
class SavedScene:
    """What the judgement is given: the scene, and the URL that the configuration would tell each consumer."""

    scene: Scene
    meant: Mapping[str, OllamaUrl] = dataclasses.field(default_factory=dict)


def to_json(value: Any) -> Any:
    """Dataclasses as objects without the fields that have their default, bytes in base64, sets sorted."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_json(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if not _is_default(f, getattr(value, f.name))
        }
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {str(key): to_json(item) for key, item in value.items()}
        return [[to_json(key), to_json(item)] for key, item in value.items()]
    if isinstance(value, frozenset):
        return sorted(to_json(item) for item in value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], value: Any) -> T:
    """The dataclass ``kind`` from what :func:`to_json` made of one."""
    hints = _hints(kind)
    return kind(**{name: _read(hints[name], item) for name, item in value.items()})


def _read(kind: Any, value: Any) -> Any:
    """``value`` as the type ``kind`` says it; JSON itself where that is Any."""
    origin, arguments = get_origin(kind), get_args(kind)
    if value is None or kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _read(next(a for a in arguments if a is not type(None)), value)
    if dataclasses.is_dataclass(kind):
        return from_json(cast("type[Any]", kind), value)
    if kind is bytes:
        return base64.b64decode(value)
    if origin is tuple:
        if arguments[1:] == (...,):
            return tuple(_read(arguments[0], item) for item in value)
        return tuple(_read(a, item) for a, item in zip(arguments, value, strict=True))
    if origin is frozenset:
        return frozenset(_read(arguments[0], item) for item in value)
    if origin in (dict, Mapping):
        pairs = value.items() if isinstance(value, dict) else value
        return {_read(arguments[0], key): _read(arguments[1], item) for key, item in pairs}
    return kind(value) if isinstance(kind, type) and not isinstance(value, kind) else value


def _hints(kind: type[Any]) -> dict[str, Any]:
    if kind not in _KNOWN:
        _KNOWN[kind] = get_type_hints(kind)
    return _KNOWN[kind]


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return bool(value == field.default)
    return field.default_factory is not dataclasses.MISSING and bool(value == field.default_factory())
