"""One row of the table: what must hold, what must not, what is said, what is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]
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

    ``needs`` must all hold (``a|b`` is either), none of ``without`` may. The
    ``summary``, ``remedy`` and ``commands`` are filled with the board's words;
    ``evidence`` are signs whose lines are shown (those of ``needs`` always
    are). ``fix`` names the repair that stackctl can make and take back.
    ``also`` are causes that look the same from here, ``decide`` the command
    that tells them apart. ``scope`` is the board it is looked for on.
    """

    id: str
    rung: str
    needs: tuple[str, ...]
    summary: str
    remedy: str
    commands: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    fix: str = ""
    severity: Severity = "error"
    also: tuple[str, ...] = ()
    decide: str = ""
    scope: Literal["consumer", "server", "project"] = "consumer"

    def holds(self, on: set[str]) -> bool:
        """Whether the signs say so."""
        return all(any(part in on for part in need.split("|")) for need in self.needs) and not any(
            sign in on for sign in self.without
        )

    @property
    def rank(self) -> int:
        """Lower is to be mended first."""
        return RUNGS.index(self.rung)
