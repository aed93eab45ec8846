"""How a diagnosis is shown: the tree in the terminal, the document of the contract, Markdown, the bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from stackctl.commands.diagnosing.diagnose import Diagnosis
from stackctl.diagnose import mask
from stackctl.diagnose.causes.model import Severity
from stackctl.diagnose.checks import Check
from stackctl.diagnose.findings import Finding
from stackctl.diagnose.mask import AddressMask
from stackctl.outcome import Block, Line, Outcome, Table, Verbatim
from stackctl.redaction import Redactor

SCHEMA = "stackctl.diagnose/1"


def outcome(found: Diagnosis, *, bundle: str = "", before: Sequence[Block] = ()) -> Outcome:
    """The tree by consumer; passed rungs collapsed, the failed one with its evidence, then the remedy."""
    blocks: list[Block] = list(before)
    stage = found.stage
    for consumer in stage.consumers if stage else ():
        blocks += _of_consumer(found, consumer)
    blocks += _of_nobody([f for f in found.findings if f.consumer is None])
    if stage is not None and not stage.consumers:
        blocks.append(Line(f"nobody was asked: no service of {found.project} is told an Ollama", "warn"))
    if bundle:
        blocks.append(Line(f"written: {bundle}", "ok"))
    errors = sum(f.severity == "error" for f in found.findings)
    if not found.findings and stage and stage.consumers:
        unseen = list(dict.fromkeys(name for (name, _), reach in found.reaches.items() if not reach.ok))
        if unseen:
            blocks.append(Line(f"could not be tried: {', '.join(unseen)} ({found.seconds:.1f} s)", "warn"))
        else:
            blocks.append(Line(f"every consumer reaches its Ollama ({found.seconds:.1f} s)", "ok"))
    steps = []
    if any(f.remedy.automatic for f in found.findings):
        steps.append("stackctl diagnose --fix")
    if errors:
        steps.append(f"stackctl explain {next(f.cause for f in found.findings if f.severity == 'error')}")
    return Outcome(SCHEMA, document(found), blocks, steps, 0 if found.ok else 1)


def document(found: Diagnosis) -> dict[str, object]:
    """The fields of ``stackctl.diagnose/1``."""
    stage = found.stage
    return {
        "ok": found.ok and any(c.status == "passed" for c in found.checks),
        "project": found.project,
        "environment": stage.environment if stage else None,
        "profile": stage.profile if stage else None,
        "checks": [c.as_json() for c in found.checks],
        "findings": [f.as_json() for f in found.findings],
    }


def _of_consumer(found: Diagnosis, consumer: str) -> list[Block]:
    findings = [f for f in found.findings if f.consumer == consumer]
    bad = any(f.severity == "error" for f in findings)
    odd = any(f.severity == "warning" for f in findings)
    blocks: list[Block] = [Line(consumer, "bad" if bad else "warn" if odd else "ok")]
    for (name, _), reach in found.reaches.items():
        if name != consumer or not reach.checks:
            continue
        blocks.append(Line(f"{reach.checks[0].target}  {_rungs(reach.checks)}", "plain", 1))
    for finding in findings:
        blocks += _finding(finding, 1)
    return blocks


def _rungs(checks: Sequence[Check]) -> str:
    """``name ✓ tcp ✗ ECONNREFUSED``: up to the rung that failed."""
    parts, passed = [], []
    for check in checks:
        if check.status == "passed":
            passed.append(check.id)
            continue
        if check.status == "skipped":
            continue
        word = {"failed": "✗", "unknown": "?"}[check.status]
        detail = next(
            (str(check.observed[k]) for k in ("errno", "error", "status", "end", "model") if k in check.observed), ""
        )
        parts.append(f"{check.id} {word} {detail}".rstrip())
    ms = next((c.ms for c in reversed(checks) if c.status == "passed" and c.ms), None)
    head = f"{' '.join(dict.fromkeys(passed))} ✓" if passed else ""
    tail = f"  ({checks[0].vantage}{f', {ms:.0f} ms' if ms and not parts else ''})"
    return "  ".join([*([head] if head else []), *parts]) + tail


_MARKS: dict[Severity, Literal["bad", "warn", "plain"]] = {"error": "bad", "warning": "warn", "info": "plain"}


def _finding(finding: Finding, indent: int) -> list[Block]:
    blocks: list[Block] = [
        Line(f"{finding.cause}: {finding.summary}", _MARKS[finding.severity], indent),
    ]
    blocks += [Line(f"saw: {line}", "dim", indent + 1) for line in finding.evidence]
    automatic = "   (stackctl diagnose --fix does it)" if finding.remedy.automatic else ""
    blocks.append(Line(f"do: {finding.remedy.summary}{automatic}", "plain", indent + 1))
    blocks += [Line(command, "strong", indent + 2) for command in finding.remedy.commands]
    return blocks


def _of_nobody(findings: Sequence[Finding]) -> list[Block]:
    blocks: list[Block] = []
    for finding in findings:
        blocks += _finding(finding, 0)
    return blocks


def markdown(found: Diagnosis, redactor: Redactor) -> Outcome:
    """A report to paste into an issue; secrets and addresses masked."""
    return Outcome(
        SCHEMA, document(found), [Verbatim(_report(found, redactor, AddressMask()))], (), 0 if found.ok else 1
    )


def _report(found: Diagnosis, redactor: Redactor, masked: AddressMask) -> str:
    _learn(found, redactor)
    lines = [f"### stackctl diagnose: {found.project}", ""]
    for finding in found.findings:
        who = finding.consumer or "the project"
        lines += [f"**`{finding.cause}`** ({finding.severity}, {who}): {finding.summary}", ""]
        lines += [f"- {line}" for line in finding.evidence]
        lines += ["", f"Remedy: {finding.remedy.summary}", "", "```", *finding.remedy.commands, "```", ""]
    if not found.findings:
        lines += ["No findings: every consumer reaches its Ollama.", ""]
    lines += ["| consumer | target | check | status | seen from | observed |", "| --- | --- | --- | --- | --- | --- |"]
    for check in found.checks:
        observed = ", ".join(f"{k}={v}" for k, v in check.observed.items()).replace("|", "\\|")
        lines.append(
            f"| {check.consumer} | {check.target} | {check.id} | {check.status} | {check.vantage} | {observed} |"
        )
    info = found.stage.scene.info if found.stage else None
    if info is not None:
        lines += [
            "",
            f"Engine {info.version}, Compose {info.compose_version}"
            + (", rootless" if info.rootless else "")
            + (", Docker Desktop" if info.desktop else ""),
        ]
    return masked(redactor.thorough(mask.plain("\n".join(lines)) + "\n"))


def _learn(found: Diagnosis, redactor: Redactor) -> None:
    if found.stage is not None:
        redactor.hide_named(mask.named_values(found.stage.scene))


def bundle(found: Diagnosis, redactor: Redactor) -> dict[str, bytes]:
    """Everything that was seen, as files by name; secrets and addresses masked."""
    _learn(found, redactor)
    masked = AddressMask()
    scene = found.stage.scene if found.stage else None
    documents: dict[str, Any] = {"diagnosis.json": {"schema": SCHEMA, **document(found)}}
    texts = {"report.md": _report(found, redactor, masked)}
    if scene is not None:
        documents["project.json"] = {n: dict(s.raw) for n, s in scene.project.services.items()}
        documents["containers.json"] = [mask.container(c.raw) for c in scene.containers]
        documents["networks.json"] = [dict(n) for n in scene.networks]
        documents["engine.json"] = dict(scene.info.raw) if scene.info else {}
        texts["host.txt"] = _host(scene.host)
        texts.update({f"logs/{name}.txt": text for name, text in scene.logs.items()})
    files = {
        name: json.dumps(redactor.document(whole, thorough=True), indent=2, ensure_ascii=False, default=str)
        for name, whole in documents.items()
    }
    files.update({name: redactor.thorough(text) for name, text in texts.items()})
    return {name: masked(mask.plain(text)).encode("utf-8", "replace") for name, text in files.items()}


def _host(host: object) -> str:
    wanted = (
        "listeners",
        "addresses",
        "resolver",
        "ip_forward",
        "neighbours",
        "names",
        "tries",
        "unit",
        "kernel",
        "devices",
        "rules",
        "journal",
    )
    return "\n".join(f"{name}: {getattr(host, name)}" for name in wanted)


def list_causes() -> Outcome:
    """Every cause that can be recognised, with how often it is met and whether stackctl repairs it."""
    from stackctl.diagnose.catalogue import entries  # noqa: PLC0415
    from stackctl.diagnose.causes import table  # noqa: PLC0415

    fixes = {row.id for row in table() if row.fix}
    known = {row.id for row in table()}
    rows = [e for e in entries().values() if e.id in known]
    data = [{"cause": e.id, "layer": e.layer, "frequency": e.frequency, "fix": e.id in fixes} for e in rows]
    cells = [(e.id, e.layer, e.frequency, "yes" if e.id in fixes else "") for e in rows]
    return Outcome(
        "stackctl.causes/1",
        {"causes": data},
        [Table(("cause", "layer", "met", "--fix"), cells)],
        ("stackctl explain CAUSE",),
    )
