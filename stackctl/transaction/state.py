"""``state.json``: the last verified target, and what a later run needs to see that nothing changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from stackctl.config.url import OllamaUrl
from stackctl.errors import WrongInput

SCHEMA = "stackctl.state/1"


@dataclass(frozen=True)
class State:
    """What is in force.

    ``profile`` is the profile's name or a URL, ``url`` what consumers are told.
    ``verified`` is an RFC 3339 time, or None for a stack that came up degraded;
    ``degraded`` then says why. ``pins`` are names resolved on the host.
    ``computed`` and ``labels`` are Compose's hash of each service as `config
    --hash` gives it and as its container carries it: the two need not agree.
    ``environments`` are digests of the variables of such services, for `config
    --hash` (seen with Compose 2.40) looks into no ``env_file``, and the label does.
    ``attached`` are digests of the project's networks by key, which no hash covers.
    """

    project: str
    environment: str | None
    profile: str
    url: str
    verified: str | None
    override: str
    degraded: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    computed: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, str] = field(default_factory=dict)
    attached: Mapping[str, str] = field(default_factory=dict)
    previous: str | None = None
    networks: tuple[str, ...] = ()
    durations: Mapping[str, float] = field(default_factory=dict)
    """Seconds that each service took to be up and healthy when it was last made."""

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"


def completed(draft: State, labels: Mapping[str, str], moment: str) -> State:
    """The state to write once all is up: ``labels`` are the hashes that the containers carry now.

    ``moment`` is when it was verified, as an RFC 3339 time; a degraded one was not.
    """
    return replace(
        draft,
        verified=None if draft.degraded else moment,
        labels=labels,
        environments={s: d for s, d in draft.environments.items() if labels.get(s) != draft.computed.get(s)},
    )


def parse(data: bytes | None, where: str) -> State | None:
    """Read ``state.json``; None where there is none.

    Raises :class:`WrongInput` for a file of another version or edited by hand.
    """
    if data is None:
        return None
    try:
        document: Any = json.loads(data)
        schema = document.pop("schema")
        if schema != SCHEMA:
            raise WrongInput(
                f"{where} was written by another version of stackctl ({schema})",
                hint="use that version, or start afresh: stackctl detach && stackctl up",
                where=where,
            )
        document.pop("call", None)  # written until 0.1
        document["networks"] = tuple(document.get("networks") or ())
        state = State(**document)
        _check(state)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise WrongInput(
            f"{where} cannot be read: it was damaged or edited by hand",
            hint=f"remove it (rm {where}); the next `stackctl up` verifies the stack and writes it anew",
            where=where,
        ) from None
    return state


def _check(state: State) -> None:
    """Raise ``TypeError`` or ``ValueError`` where a field holds what no stackctl has written."""
    texts = (state.project, state.profile, state.override, state.url, *state.networks)
    optional = (state.environment, state.verified, state.degraded, state.previous)
    tables = (state.pins, state.computed, state.labels, state.environments, state.attached)
    if not all(isinstance(t, str) for t in texts) or not all(isinstance(t, str | None) for t in optional):
        raise TypeError
    if not all(isinstance(t, dict) and all(isinstance(v, str) for v in t.values()) for t in tables):
        raise TypeError
    if not isinstance(state.durations, dict) or not all(isinstance(s, int | float) for s in state.durations.values()):
        raise TypeError
    if state.url:
        OllamaUrl.parse(state.url)
