"""Results of host checks: one result a check, with findings that name a cause of the catalogue and its remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]
Status = Literal["passed", "failed", "skipped", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. ``cause`` is an id of the fault catalogue, shared with ``diagnose``."""

    cause: str
    severity: Severity
    summary: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    commands: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The finding in the shape of ``diagnose --json``."""
        return {
            "cause": self.cause,
            "consumer": None,
            "severity": self.severity,
            "summary": self.summary,
            "evidence": list(self.evidence),
            "remedy": {"summary": self.remedy, "commands": list(self.commands), "automatic": False},
        }


@dataclass(frozen=True)
class Result:
    """The result of one check. ``failed`` comes with a finding; for ``unknown``, ``saw`` says why."""

    id: str
    title: str
    status: Status
    saw: str
    findings: tuple[Finding, ...] = ()
    observed: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The check for ``--json``."""
        return {"id": self.id, "status": self.status, "saw": self.saw, "observed": dict(self.observed)}


def result(id_: str, title: str, saw: str, *findings: Finding, unknown: bool = False, **observed: Any) -> Result:
    """A result whose status follows from its findings: an error or a warning fails it, an ``info`` does not."""
    bad = any(f.severity != "info" for f in findings)
    return Result(id_, title, "failed" if bad else "unknown" if unknown else "passed", saw, findings, observed)
