"""Which targets to try, and in which order: decided before the first of them is tried. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stackctl.config.models import StackConfig
from stackctl.config.target import Target, further, resolve


@dataclass(frozen=True)
class Candidate:
    """One target to try.

    ``replacement`` is what to tell when it is tried because the one before could not serve.
    ``degraded``: the stack is to come up on it whether it can serve or not.
    """

    target: Target
    replacement: str = ""
    degraded: bool = False

    def announce(self, reason: str) -> str:
        """One line for when it takes the place of the one before, which could not serve for ``reason``."""
        return f"coming up degraded: {reason}" if self.degraded else f"{reason}; {self.replacement}"


def candidates(config: StackConfig, name: str, on_unreachable: str) -> list[Candidate]:
    """The members of a profile best first, its fallback, then what ``on_unreachable`` says; at least one.

    Behind the gateway all members are one target, and so is a single instance or URL.
    The local server is started rather than tried, so no member comes after it.
    Raises :class:`UsageError` for an unknown name.
    """
    members = [] if config.gateway else further(config, name, ())
    if "local" in members:
        members = members[: members.index("local") + 1]
    found = [Candidate(resolve(config, name))]
    for number in range(1, len(members)):
        target = resolve(config, name, without=members[:number])
        found.append(Candidate(target, f"{members[number]} takes its place in {name}"))
    if on_unreachable == "local" and not found[-1].target.is_local:
        found.append(Candidate(resolve(config, "local"), "on_unreachable: local takes over"))
    elif on_unreachable == "degrade":
        # Of several that cannot serve, the one that is wanted first is waited for.
        found.append(replace(found[0], degraded=True))
    return found
