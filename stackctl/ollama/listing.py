"""The answers to ``/api/tags``, ``/api/ps`` and ``/api/show`` as plain values.

Shapes: facts of ollama 0.33 (api/types.go:737-845). No field is
trusted: a value of a wrong type counts as missing, and an entry without a valid name is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.ollama import model_names
from stackctl.ollama.text import mapping, number, plain

MAX_ITEMS = 10_000


@dataclass(frozen=True)
class Model:
    """A model in a server's store. ``size`` in bytes; ``digest`` is 64 hex digits of its manifest."""

    name: str
    size: int = 0
    digest: str = ""
    modified_at: str = ""
    parameters: str = ""
    quantization: str = ""
    family: str = ""
    context_length: int = 0
    capabilities: tuple[str, ...] = ()
    remote: str = ""


@dataclass(frozen=True)
class Loaded:
    """A model in memory. ``size`` and ``size_vram`` in bytes; ``context_length`` in tokens a slot."""

    name: str
    digest: str = ""
    size: int = 0
    size_vram: int = 0
    context_length: int = 0

    @property
    def processor(self) -> str:
        """``100% GPU``, ``100% CPU``, ``c%/g% CPU/GPU`` or ``Unknown``, as ``ollama ps`` does it (cmd/cmd.go:1124)."""
        if self.size_vram <= 0:
            return "100% CPU"
        if self.size <= 0 or self.size_vram > self.size:
            return "Unknown"
        if self.size_vram == self.size:
            return "100% GPU"
        cpu = round((self.size - self.size_vram) / self.size * 100)
        return f"{cpu}%/{100 - cpu}% CPU/GPU"


def _entries(document: Any) -> list[dict[str, Any]]:
    models = mapping(document).get("models")
    found = [item for item in models[:MAX_ITEMS] if isinstance(item, dict)] if isinstance(models, list) else []
    return [item for item in found if model_names.is_valid(str(item.get("name") or item.get("model") or ""))]


def _capabilities(value: Any) -> tuple[str, ...]:
    return tuple(plain(item, 40) for item in value[:20] if isinstance(item, str)) if isinstance(value, list) else ()


def tags(document: Any) -> list[Model]:
    """The models of an answer to ``/api/tags``, in its order (newest first)."""
    found = []
    for item in _entries(document):
        details = mapping(item.get("details"))
        found.append(
            Model(
                name=str(item.get("name") or item["model"]),
                size=number(item.get("size")),
                digest=plain(item.get("digest") or "", 80),
                modified_at=plain(item.get("modified_at") or "", 40),
                parameters=plain(details.get("parameter_size") or "", 20),
                quantization=plain(details.get("quantization_level") or "", 20),
                family=plain(details.get("family") or "", 40),
                context_length=number(details.get("context_length")),
                capabilities=_capabilities(item.get("capabilities")),
                remote=plain(item.get("remote_host") or "", 100),
            )
        )
    return found


def loaded(document: Any) -> list[Loaded]:
    """The models of an answer to ``/api/ps``."""
    return [
        Loaded(
            name=str(item.get("name") or item["model"]),
            digest=plain(item.get("digest") or "", 80),
            size=number(item.get("size")),
            size_vram=number(item.get("size_vram")),
            context_length=number(item.get("context_length")),
        )
        for item in _entries(document)
    ]


def show_details(document: Any) -> tuple[int, tuple[str, ...]]:
    """Context length in tokens (0 where unknown) and capabilities, from an answer to ``/api/show``."""
    shown = mapping(document)
    info = mapping(shown.get("model_info"))
    architecture = info.get("general.architecture")
    length = number(info.get(f"{architecture}.context_length")) if isinstance(architecture, str) else 0
    return length, _capabilities(shown.get("capabilities"))


def missing_models(required: Iterable[str], present: Sequence[Model | str]) -> list[str]:
    """Those of ``required`` that no entry of ``present`` means, in order, each once."""
    have = {model_names.key(item if isinstance(item, str) else item.name) for item in present}
    wanted = {model_names.key(name): name for name in reversed(list(required))}
    return [name for name_key, name in reversed(wanted.items()) if name_key not in have]
