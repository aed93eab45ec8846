"""Errors of Ollama servers, sorted into kinds.

``OllamaError`` is an ``ExpectedFailure``; it carries ``kind``, and ``state``: what it means for an instance.
"""

from __future__ import annotations

from enum import StrEnum

from stackctl.errors import ExpectedFailure


class State(StrEnum):
    """The state of an instance."""

    HEALTHY = "healthy"
    UNREACHABLE = "unreachable"
    UNAUTHORISED = "unauthorised"
    MISCONFIGURED = "misconfigured"
    OVERLOADED = "overloaded"
    DISABLED = "disabled"


class Kind(StrEnum):
    """Why a call failed. The value is stable, for JSON."""

    NAME = "name-not-resolved"
    REFUSED = "connection-refused"
    NO_ROUTE = "no-route"
    TIMEOUT = "timeout"
    CUT = "connection-cut"
    TLS = "tls"
    UNAUTHORISED = "unauthorised"
    HOST_REFUSED = "host-refused"
    REDIRECT = "redirect"
    NOT_OLLAMA = "not-ollama"
    TOO_LARGE = "answer-too-large"
    OVERLOADED = "overloaded"
    UPSTREAM = "upstream-down"
    NO_MODEL = "no-such-model"
    BAD_NAME = "bad-model-name"
    UNSUPPORTED = "not-supported-by-model"
    CONTEXT = "prompt-too-long"
    MEMORY = "out-of-memory"
    LOAD = "model-does-not-load"
    RUNNER = "runner-died"
    DISK_FULL = "disk-full"
    REGISTRY_UNREACHABLE = "registry-unreachable"
    REGISTRY_REFUSED = "registry-refused"
    TOO_OLD = "server-too-old"
    CORRUPT = "download-corrupt"
    CLOUD = "cloud"
    SETTING = "wrong-setting"
    OTHER = "server-error"


_STATES = {
    Kind.NAME: State.UNREACHABLE,
    Kind.REFUSED: State.UNREACHABLE,
    Kind.NO_ROUTE: State.UNREACHABLE,
    Kind.TIMEOUT: State.UNREACHABLE,
    Kind.CUT: State.UNREACHABLE,
    Kind.UPSTREAM: State.UNREACHABLE,
    Kind.UNAUTHORISED: State.UNAUTHORISED,
    Kind.OVERLOADED: State.OVERLOADED,
}
_PASSING = frozenset({Kind.REFUSED, Kind.NO_ROUTE, Kind.NAME, Kind.TIMEOUT, Kind.CUT, Kind.UPSTREAM, Kind.OVERLOADED})


class OllamaError(ExpectedFailure):
    """A call to an Ollama failed; ``status`` is the HTTP status where there was one."""

    def __init__(
        self, kind: Kind, message: str, *, hint: str = "", status: int | None = None, where: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, where=where)
        self.kind = kind
        self.status = status

    @property
    def state(self) -> State:
        """The state of an instance that fails so."""
        return _STATES.get(self.kind, State.MISCONFIGURED)

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later without anything being changed."""
        return self.kind in _PASSING
