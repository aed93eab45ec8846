"""The table that ``up`` and ``switch`` end with."""

from __future__ import annotations

from typing import Any

from stackctl.commands.bring import Brought
from stackctl.outcome import Block, Line, Outcome, Table, Tone

TARGET_WORDS = {"local": "the Ollama container", "instance": "external", "gateway": "gateway"}


def brought(result: Brought, schema: str, *, changed: str, unchanged: str, next_steps: list[str]) -> Outcome:
    """The outcome of bringing a stack to a target."""
    if not result.applied:
        return dry_run(result, schema)
    rows: list[list[str | tuple[str, Tone]]] = []
    for v in result.verified:
        verdict: tuple[str, Tone] = ("✓ verified", "ok") if v.ok else ("✗ " + v.reason, "bad")
        took = sum(c.ms or 0 for c in v.reach.checks)
        answer = f"Ollama {v.reach.version}" if v.reach.version else ""
        rows.append([v.consumer, str(v.url), answer, f"{took:.0f} ms" if took else "", verdict])
    title = changed if result.plan else unchanged
    blocks: list[Block] = [Line(title, "warn" if result.degraded else "ok")]
    if rows:
        blocks += [Line(""), Table(["consumer", "target", "answers", "took", "verified"], rows)]
    if result.degraded:
        blocks.append(Line(f"degraded: {result.degraded}", "warn"))
    return Outcome(schema, _data(result), blocks, next_steps, 0)


def dry_run(result: Brought, schema: str) -> Outcome:
    """The plan, with causes; nothing was touched."""
    text = str(result.plan).splitlines()
    lines: list[Block] = [Line(t) for t in text] or [Line("nothing to do", "ok")]
    lines += [Line(f"! {w}", "warn") for w in result.warnings]
    return Outcome(schema, _data(result), lines)


def _data(result: Brought) -> dict[str, Any]:
    target = result.prepared.target
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
    }
