"""Model names: `[scheme://][host/][namespace/]model[:tag]`, and the marks `:cloud` and `:local`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePosixPath

from ollama_double.godata import quote

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}\Z")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z")
_DOTTED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z")
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})\Z")


@dataclass(frozen=True)
class Name:
    """A complete model name; `valid` says whether every part keeps to the rules."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def valid(self) -> bool:
        """True when each part has allowed characters and length."""
        return bool(
            _HOST.match(self.host)
            and _NAMESPACE.match(self.namespace)
            and _DOTTED.match(self.model)
            and _DOTTED.match(self.tag)
        )

    @property
    def short(self) -> str:
        """The name as the API shows it: default host and namespace dropped, the tag kept."""
        if self.host != DEFAULT_HOST:
            return self.full
        if self.namespace != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def full(self) -> str:
        """The name with all four parts."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def path(self) -> PurePosixPath:
        """Where its manifest lies below `manifests/`."""
        return PurePosixPath(self.host, self.namespace, self.model, self.tag)

    def folded(self) -> Name:
        """Return the name in lower case: the store matches without regard to case."""
        return Name(self.host.lower(), self.namespace.lower(), self.model.lower(), self.tag.lower())


def parse(text: str) -> Name:
    """Split `text` into its parts with the defaults filled in; ask `.valid` afterwards."""
    rest = text.split("://", 1)[-1]
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        head, tag = rest, DEFAULT_TAG
    parts = head.split("/", 2) if head.count("/") <= 2 else [head]
    host, namespace = DEFAULT_HOST, DEFAULT_NAMESPACE
    if len(parts) == 3:
        host, namespace, model = parts
    elif len(parts) == 2:
        namespace, model = parts
    else:
        model = parts[0]
    return Name(host, namespace, model, tag)


class Source(Enum):
    """Where the caller said the model is to run."""

    ANY = "any"
    LOCAL = "local"
    CLOUD = "cloud"


@dataclass(frozen=True)
class Reference:
    """What a request's `model` says: the text as sent, its name, and the source mark."""

    sent: str
    name: Name
    source: Source


class ConflictError(ValueError):
    """Both marks at once."""


def reference(text: str) -> Reference:
    """Read `text` with its source mark stripped; ConflictError when it bears both marks."""
    base, source = _strip(text)
    _, second = _strip(base)
    if source is not Source.ANY and second is not Source.ANY and second is not source:
        raise ConflictError(f"use either :local or :cloud, not both: {quote(text)}")
    return Reference(text, parse(base), source)


def _strip(text: str) -> tuple[str, Source]:
    lower = text.lower()
    if lower.endswith(":local"):
        return text[:-6], Source.LOCAL
    if lower.endswith(":cloud"):
        return text[:-6], Source.CLOUD
    if lower.endswith("-cloud") and ":" in text.rsplit("/", 1)[-1]:
        return text[:-6], Source.CLOUD
    return text, Source.ANY


def pulled(text: str) -> Name:
    """Return the name under which `text` is pulled: `m:cloud` is tag `cloud`, `m:7b:cloud` tag `7b-cloud`."""
    base, source = _strip(text)
    if source is Source.LOCAL:
        return parse(base)
    if source is Source.CLOUD and text.lower().endswith(":cloud"):
        name = parse(base)
        tagged = ":" in base.rsplit("/", 1)[-1]
        return replace(name, tag=f"{name.tag}-cloud" if tagged else "cloud")
    return parse(text)


def digest(text: str) -> str | None:
    """Return the 64 hex digits of `sha256:…` (a `-` for the `:` is taken too), or None."""
    match = _DIGEST.match(text)
    return match.group(1) if match else None
