"""``stackctl host-check``: why this machine's Ollama can or cannot be reached and used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stackctl.commands.context.session import Session
from stackctl.commands.host.derive import stack_sources
from stackctl.commands.host.machine import ServerHost
from stackctl.commands.host.record import all_records
from stackctl.errors import UsageError
from stackctl.hostsetup.check import findings_of, run_checks
from stackctl.hostsetup.findings import Finding
from stackctl.hostsetup.host_plan import Network, collapse, parse_network
from stackctl.hostsetup.observed import HostObserved
from stackctl.outcome import Block, Line, Outcome, Table, Tone

SCHEMA = "stackctl.host-check/1"
_TONES: dict[str, Tone] = {
    "passed": "ok",
    "failed": "bad",
    "skipped": "dim",
    "unknown": "warn",
    "error": "bad",
    "warning": "warn",
    "info": "dim",
}


def host_check(
    session: Session,
    host: ServerHost,
    observe: Callable[[int], HostObserved],
    *,
    port: int,
    sources: Sequence[str] = (),
) -> Outcome:
    """Check this machine and report; exit code 1 where a finding is an error. Changes nothing."""
    try:
        wanted = tuple(parse_network(text) for text in sources)
    except ValueError as error:
        raise UsageError(f"--from: {error}", hint="--from 172.18.0.0/16, or one address") from None
    wanted = wanted or stack_sources(session, host) or _applied_sources(host, port)
    with session.reporter.step("look at this machine"):
        seen = observe(port)
    results = run_checks(seen, wanted)
    findings = findings_of(results)
    ok = not any(finding.severity == "error" for finding in findings)
    data = {
        "ok": ok,
        "port": port,
        "root": seen.root,
        "sources": [str(source) for source in wanted],
        "checks": [result.document() for result in results],
        "findings": [finding.document() for finding in findings],
    }
    rows: list[list[str | tuple[str, Tone]]] = [
        [result.title, (result.status, _TONES[result.status]), result.saw] for result in results
    ]
    blocks: list[Block] = [Table(["CHECK", "", "SEEN"], rows)]
    for finding in findings:
        blocks += _lines(finding)
    if not seen.root:
        blocks.append(
            Line("Without root the owners of sockets, their environment and the firewall stay unseen.", "warn")
        )
    return Outcome(SCHEMA, data, blocks, code=0 if ok else 1)


def _applied_sources(host: ServerHost, port: int) -> tuple[Network, ...]:
    """The sources to which set-ups applied on this machine have opened the port."""
    records = [record for record in all_records(host) if record.port == port and record.state == "applied"]
    return collapse([parse_network(source) for record in records for source in record.sources])


def _lines(finding: Finding) -> list[Line]:
    lines = [Line(""), Line(f"{finding.severity}: {finding.summary}  [{finding.cause}]", _TONES[finding.severity])]
    lines += [Line(text, "dim", 1) for text in finding.evidence]
    if finding.remedy:
        lines.append(Line(f"remedy: {finding.remedy}", "plain", 1))
    lines += [Line(f"$ {command}", "strong", 1) for command in finding.commands]
    return lines
