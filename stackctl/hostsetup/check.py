"""The table of host checks: each a function of the observed machine and of the sources that should get in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stackctl.hostsetup import check_listen, check_machine, check_network, check_unit
from stackctl.hostsetup.findings import Finding, Result
from stackctl.hostsetup.host_plan import Network
from stackctl.hostsetup.observed import HostObserved

Check = Callable[[HostObserved, Sequence[Network]], Result]

CHECKS: tuple[Check, ...] = (
    check_listen.server,
    check_listen.owner,
    check_listen.address,
    check_unit.unit,
    check_unit.environment,
    check_network.firewall,
    check_machine.gpu,
    check_machine.disk,
    check_machine.version,
)

SEVERITIES = ("error", "warning", "info")


def run_checks(seen: HostObserved, sources: Sequence[Network] = ()) -> list[Result]:
    """Every check in order. ``sources`` are the addresses that should get in; empty where none are known."""
    return [check(seen, sources) for check in CHECKS]


def findings_of(results: Sequence[Result]) -> list[Finding]:
    """All findings, the worst first, otherwise in the order of the checks; duplicates are left out."""
    found: dict[tuple[str, str], Finding] = {}
    for result in results:
        for finding in result.findings:
            found.setdefault((finding.cause, finding.summary), finding)
    return sorted(found.values(), key=lambda f: SEVERITIES.index(f.severity))
