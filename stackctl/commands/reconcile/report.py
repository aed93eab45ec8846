"""The table that ``up`` and ``switch`` end with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackctl.outcome import Block, Line, Outcome, Table, Tone
from stackctl.transaction.costs import told

if TYPE_CHECKING:
    from stackctl.commands.reconcile.pipeline import Reconciled

UP = "stackctl.up/1"
TARGET_WORDS = {"local": "the Ollama container", "instance": "external", "gateway": "gateway"}


def reconciled(result: Reconciled, schema: str, *, changed: str, unchanged: str, next_steps: list[str]) -> Outcome:
    """The outcome of bringing a stack to a target."""
    if not result.applied:
        return dry_run(result, schema)
    rows = [
        _row(
            v.consumer,
            str(v.url),
            v.reach.version,
            sum(c.ms or 0 for c in v.reach.checks),
            "" if v.ok else v.reason or "no answer",
        )
        for v in result.verified
    ]
    title = changed if result.plan else unchanged
    blocks: list[Block] = [Line(title, "warn" if result.degraded else "ok"), *_table(rows)]
    if result.degraded:
        blocks.append(Line(f"degraded: {result.degraded}", "warn"))
    return Outcome(schema, data_of(result), blocks, next_steps, 0)


def _row(consumer: str, url: str, version: str | None, took: float, reason: str = "") -> list[str | tuple[str, Tone]]:
    verdict: tuple[str, Tone] = (f"✗ {reason}", "bad") if reason else ("✓ verified", "ok")
    return [consumer, url, f"Ollama {version}" if version else "", f"{took:.0f} ms" if took else "", verdict]


def _table(rows: list[list[str | tuple[str, Tone]]]) -> list[Block]:
    return [Line(""), Table(["consumer", "target", "answers", "took", "verified"], rows)] if rows else []


def dry_run(result: Reconciled, schema: str) -> Outcome:
    """The plan, with causes; nothing was touched."""
    text = str(result.plan).splitlines()
    lines: list[Block] = [Line(t) for t in text] or [Line("nothing to do", "ok")]
    lines += [Line(f"! {w}", "warn") for w in result.warnings]
    if said := told(result.recreates, gateway=result.target.kind == "gateway"):
        lines.append(Line(f"! {said}", "warn"))
    return Outcome(schema, data_of(result), lines)


def data_of(result: Reconciled) -> dict[str, Any]:
    """The JSON document, ``schema`` apart."""
    target = result.target
    return {
        "profile": target.name,
        "target": str(target.url),
        "changed": bool(result.plan) and result.applied,
        "degraded": result.degraded,
        "verified": result.state.verified if result.state and result.applied else None,
        "consumers": [
            {
                "service": v.consumer,
                "url": str(v.url),
                "ok": v.ok,
                "version": v.reach.version,
                "reason": v.reason or None,
            }
            for v in result.verified
        ],
        "plan": [{"step": str(s), "cause": s.cause} for s in result.plan.steps],
        "warnings": list(result.warnings),
        "recreates": [{"service": s, "seconds": t} for s, t in result.recreates.items()],
    }
