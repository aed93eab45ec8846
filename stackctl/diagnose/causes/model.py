"""One row of the table: what must hold, what must not, what is said, what is done."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from stackctl.diagnose.sign import Sign
from stackctl.diagnose.words import Scope

Severity = Literal["error", "warning", "info"]
Need = Sign | tuple[Sign, ...]
"""A sign that must hold, or several of which one must."""
RUNGS = (
    "engine",
    "life",
    "config",
    "name",
    "route",
    "connect",
    "tls",
    "proxy",
    "http",
    "api",
    "model",
    "load",
    "resources",
    "advice",
)


@dataclass(frozen=True)
class Cause:
    """A cause of the catalogue, recognised by signs.

    ``needs`` must all hold (of a tuple one), none of ``without`` may. The
    ``summary``, ``remedy`` and ``commands`` are filled with the board's words;
    ``evidence`` are signs whose lines are shown (those of ``needs`` always
    are). ``fix`` names the repair that stackctl can make and take back.
    ``also`` are causes that look the same from here, ``decide`` the command
    that tells them apart. ``scope`` is the board it is looked for on.
    """

    id: str
    rung: str
    needs: tuple[Need, ...]
    summary: str
    remedy: str
    commands: tuple[str, ...] = ()
    without: tuple[Sign, ...] = ()
    evidence: tuple[Sign, ...] = ()
    fix: str = ""
    severity: Severity = "error"
    also: tuple[str, ...] = ()
    decide: str = ""
    scope: Scope = "consumer"

    def holds(self, on: Collection[Sign]) -> bool:
        """Whether the signs say so."""
        return all(any(sign in on for sign in either(need)) for need in self.needs) and not any(
            sign in on for sign in self.without
        )

    @property
    def rank(self) -> int:
        """Lower is to be mended first."""
        return RUNGS.index(self.rung)


def either(need: Need) -> tuple[Sign, ...]:
    """The signs of which one must hold."""
    return (need,) if isinstance(need, Sign) else need
