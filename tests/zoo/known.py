"""Kinds of scenarios that stackctl does not hold yet. Each is to be mended, and its line deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.zoo.scenario import Consumer, Scenario


@dataclass(frozen=True)
class Kind:
    """Scenarios that fail in one way, with a seed that shows it."""

    what: str
    seed: int
    has: Callable[[Scenario], bool]


def _any(has: Callable[[Consumer], bool]) -> Callable[[Scenario], bool]:
    return lambda s: any(has(c) for c in s.consumers)


KNOWN: tuple[Kind, ...] = (
    Kind("I2: a consumer of another project on the network is cut off", 1, lambda s: s.bystander == "guest"),
    Kind("I5: a server in the namespace of another service is not known there", 10, lambda s: s.home == "namespace"),
    Kind("I7: the files of COMPOSE_FILE are forgotten after init", 11, lambda s: s.files == "chosen"),
    Kind(
        "I1, I2: a consumer told by a file or a secret is left without its server, by a switch and by a gateway",
        4,
        _any(lambda c: c.form in ("file", "secret")),
    ),
    Kind(
        "I2: a gateway for consumers on the host's network is refused after the server was moved",
        100,
        lambda s: s.gateway and s.home == "published",
    ),
    Kind("I2: a running consumer of a profile that is not active is cut off", 9, _any(lambda c: c.profile)),
    Kind("I4: the app's own proxy variables are not looked at", 9, _any(lambda c: c.proxy)),
)

FIXED: tuple[int, ...] = (
    12, 28, 35, 36, 40, 57, 58, 85, 90, 101, 107, 109, 147, 151, 154, 163, 219, 258, 265, 277, 297, 313, 314, 354, 356,
)  # fmt: skip
"""The seeds of every test run: small scenarios of no known kind."""


def known(s: Scenario) -> str:
    """What is known to be wrong with such a scenario; empty where nothing is."""
    return next((kind.what for kind in KNOWN if kind.has(s)), "")
