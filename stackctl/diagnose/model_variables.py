"""Which model goes with which address: ``EMBED_MODEL`` is asked of ``EMBED_URL``, and of no other. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from stackctl.diagnose.scene import UrlSetting
from stackctl.project.discovery.names import words

_MODEL = re.compile(r"OLLAMA.*MODEL|^LLM_MODEL$|^MODEL_NAME$", re.IGNORECASE)
_ANY_MODEL = re.compile(r"(?:^|_)MODEL(?:_NAME|_ID)?$", re.IGNORECASE)
_TAGGED = re.compile(
    r"(?!ft:|(?:anthropic|amazon|meta|mistral|cohere|ai21)\.)[A-Za-z0-9][A-Za-z0-9_.-]*:[A-Za-z0-9_.-]+"
)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]*")
_TASK = re.compile(r"embed|rerank|vision|code|autocomplete|summar|transcri|whisper|speech")
_SAME = {"llm": "ollama", "chat": "ollama", "ai": "ollama"}
"""Words that name the main server as ``ollama`` does."""


def models_of(
    variable: str,
    addresses: Collection[str],
    templates: Mapping[str, str],
    environment: Mapping[str, str | None],
    wanted: Sequence[str],
) -> tuple[str, ...]:
    """The models that the server told by ``variable`` is to have.

    ``addresses`` are all variables that tell this consumer a server; ``wanted``
    are the models of the project's main one.
    """
    own: list[str] = []
    beside: list[str] = []
    for name, value in environment.items():
        if variable not in _owners(name, addresses):
            continue
        if templates.get(name) == "{model}":
            own.append(value or "")
        elif name not in templates and names_a_model(
            name, value or "", alone=bool(task := _task(name)) and task == _task(variable)
        ):
            beside.append(value or "")
    main = not _task(variable) or not any(not _task(other) for other in addresses)
    found = [*own, *beside, *(wanted if main else ())]
    return tuple(dict.fromkeys(m for m in found if _NAME.fullmatch(m)))


def names_a_model(variable: str, value: str, *, alone: bool = False) -> bool:
    """A model of an Ollama: by the variable's name, by a tag, or as the one of an address of its own (``alone``)."""
    if len(value) > 120:
        return False
    named = _ANY_MODEL.search(variable) and (alone or _TAGGED.fullmatch(value))
    return bool(_MODEL.search(variable) or named)


def shared(settings: Sequence[UrlSetting]) -> list[UrlSetting]:
    """The same server told twice is to have the models of both."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for one in settings:
        found.setdefault((one.consumer, str(one.url)), {}).update(dict.fromkeys(one.models))
    return [replace(one, models=tuple(found[one.consumer, str(one.url)])) for one in settings]


def _owners(model: str, addresses: Collection[str]) -> list[str]:
    """The addresses that a model belongs to: of its task, else those of no task; of these, those of its stem."""
    mine = [a for a in addresses if _task(a) == _task(model)] or [a for a in addresses if not _task(a)]
    most = max((len(_stem(a) & _stem(model)) for a in mine), default=0)
    return [a for a in mine if len(_stem(a) & _stem(model)) == most]


def _task(name: str) -> str:
    found = [match[0] for word in words(name) if (match := _TASK.match(word))]
    return found[0] if found else ""


def _stem(name: str) -> set[str]:
    return {_SAME.get(word, word) for word in words(name)} - {"model", "name", "id", "url", "base", "host", "api"}
