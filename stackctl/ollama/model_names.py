"""Model names as Ollama reads them (types/model/name.go, ollama 0.33).

``[scheme://][host/][namespace/]model[:tag]``; what is left out is
``registry.ollama.ai``, ``library`` and ``latest``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_HOST = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}$")
_NAMESPACE = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,79}$")
_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$")
_SOURCE_MARK = re.compile(r":(?:cloud|local)$", re.IGNORECASE)


class InvalidName(ValueError):
    """The text is no model name; the message says which part is wrong."""


@dataclass(frozen=True)
class ModelName:
    """The four parts of a name, defaults filled in, spelling kept."""

    model: str
    tag: str = DEFAULT_TAG
    namespace: str = DEFAULT_NAMESPACE
    host: str = DEFAULT_HOST

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Parse ``text``; raise :class:`InvalidName` where Ollama would answer ``invalid model name``."""
        rest = text.split("://", 1)[-1]
        if "@" in rest:
            raise InvalidName("a name with a digest (@sha256:…) is not accepted")
        slash, colon = rest.rfind("/"), rest.rfind(":")
        tag = DEFAULT_TAG
        if colon > slash:
            rest, tag = rest[:colon], rest[colon + 1 :]
        parts = rest.split("/")
        if len(parts) > 3:
            raise InvalidName("a name has at most three parts: host/namespace/model")
        host, namespace, model = ([DEFAULT_HOST, DEFAULT_NAMESPACE][: 3 - len(parts)] + parts)[-3:]
        for pattern, part, label in (
            (_HOST, host, "host"),
            (_NAMESPACE, namespace, "namespace"),
            (_PART, model, "model"),
            (_PART, tag, "tag"),
        ):
            if not pattern.match(part):
                raise InvalidName(f"the {label} is empty or has a character that is not allowed")
        return cls(model, tag, namespace, host)

    @property
    def short(self) -> str:
        """As Ollama lists it: default host and ``library`` dropped, the tag always written."""
        if self.host != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"
        lead = "" if self.namespace == DEFAULT_NAMESPACE else f"{self.namespace}/"
        return f"{lead}{self.model}:{self.tag}"

    @property
    def full(self) -> str:
        """All four parts."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def key(self) -> str:
        """Equal for names that mean one model: matching ignores case."""
        return self.full.lower()


def key(text: str) -> str:
    """The comparison key of a name as users and servers write it; unreadable text stands for itself."""
    try:
        name = ModelName.parse(_SOURCE_MARK.sub("", text) if text.lower().endswith(":local") else text)
    except InvalidName:
        return text.lower()
    return name.key


def same(first: str, second: str) -> bool:
    """Whether two names mean one model."""
    return key(first) == key(second)


def short(text: str) -> str:
    """The short form of a name, or the text itself where it is none."""
    try:
        return ModelName.parse(text).short
    except InvalidName:
        return text


def is_valid(text: str) -> bool:
    """Whether Ollama takes the text for a model name."""
    try:
        ModelName.parse(text)
    except InvalidName:
        return False
    return True


def find(wanted: str, names: Iterable[str]) -> str | None:
    """The name in ``names`` that means ``wanted``, as it is spelled there."""
    target = key(wanted)
    return next((name for name in names if key(name) == target), None)


def nearest(wanted: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """The known names closest to ``wanted``: other tags of the same model first, then similar spellings."""
    known = list(dict.fromkeys(names))
    try:
        base = replace(ModelName.parse(wanted), tag="*").key
    except InvalidName:
        base = ""
    tags = [name for name in known if is_valid(name) and replace(ModelName.parse(name), tag="*").key == base]
    lowered = {short(name).lower(): name for name in known}
    close = difflib.get_close_matches(short(wanted).lower(), lowered, n=limit, cutoff=0.6)
    bare = {name.split(":")[0].lower(): name for name in reversed(known)}
    close_bare = difflib.get_close_matches(wanted.split(":", maxsplit=1)[0].lower(), bare, n=limit, cutoff=0.7)
    ranked = [*tags, *(lowered[c] for c in close), *(bare[c] for c in close_bare)]
    first: dict[str, str] = {}
    for name in ranked:
        first.setdefault(key(name), name)
    return list(first.values())[:limit]
