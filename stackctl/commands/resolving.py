"""Asking Compose for the whole of a project, services of inactive profiles too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stackctl.errors import ComposeFileError
from stackctl.ports import ComposeCall, Engine


def whole_config(engine: Engine, call: ComposeCall) -> dict[str, Any]:
    """The project with the services of every profile. Raises :class:`ComposeFileError` in Compose's own words.

    Services of different profiles may clash that never run together (one
    container name for two, a network that only one of them lacks). Where the
    profiles in force resolve, the rest is read without Compose's checks.
    """
    try:
        return engine.config(call, all_profiles=True)
    except ComposeFileError:
        engine.config(call)
        return engine.config(replace(call, profiles=("*",)), unchecked=True)


def active_services(raw: Mapping[str, Any], profiles: Sequence[str]) -> frozenset[str]:
    """Names of the services that ``profiles`` switch on."""
    # Compose takes "no profile" for the profile with the empty name (compose-go, cli/options.go: WithDefaultProfiles).
    chosen = set(profiles) or {""}
    services: Mapping[str, Any] = raw.get("services") or {}
    return frozenset(
        name
        for name, service in services.items()
        if not (own := (service or {}).get("profiles")) or "*" in chosen or set(own) & chosen
    )
