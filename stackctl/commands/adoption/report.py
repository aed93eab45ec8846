"""What ``init`` found, for people."""

from __future__ import annotations

from stackctl.outcome import Block, Line, Table, Tone
from stackctl.project.discovery.config_text import Choices, describe, one_line, says_name
from stackctl.project.discovery.elsewhere import present_instances
from stackctl.project.discovery.findings import Consumer, Findings

Cell = str | tuple[str, Tone]


def blocks(findings: Findings, choices: Choices) -> list[Block]:
    """The Ollama services, the consumers with their evidence, what is out of reach, and what was in doubt."""
    return [
        Line(f"Compose project {findings.project}", "strong"),
        *_servers(findings),
        *_consumers(findings),
        *_out_of_reach(findings, choices),
        *_in_use(findings, choices),
        *_doubts(findings, choices),
    ]


def _servers(findings: Findings) -> list[Block]:
    if not findings.ollama_services:
        return [Line("no Ollama service of its own", "dim")]
    shown: list[Block] = [Line("Ollama services:")]
    for server in findings.ollama_services:
        state = "" if server.active else " (off by default: it has a profile)"
        shown.append(Line(f"{server.service}{state}: {one_line(describe(server))}", indent=1))
    return shown


def _consumers(findings: Findings) -> list[Block]:
    if not findings.consumers:
        return [Line("no service was found that uses Ollama", "warn")]
    rows: list[tuple[Cell, ...]] = []
    for consumer in findings.consumers:
        for index, setting in enumerate(consumer.settings):
            name = " ".join(x for x in (setting.kind if setting.kind != "env" else "", setting.name or "") if x)
            value = setting.value if setting.value is not None else "(not set)"
            rows.append(
                (
                    consumer.service if not index else "",
                    _role(consumer) if not index else "",
                    name,
                    one_line(value) if value.strip() else "(empty)",
                    setting.template if setting.template is not None else ("-", "dim"),
                    setting.evidence,
                )
            )
    return [Table(("CONSUMER", "ROLE", "TOLD BY", "TODAY", "TEMPLATE", "EVIDENCE"), rows)]


def _role(consumer: Consumer) -> str:
    return f"{consumer.role}, {consumer.app}" if consumer.app else consumer.role


def _out_of_reach(findings: Findings, choices: Choices) -> list[Block]:
    shown: list[Block] = []
    for consumer in findings.consumers:
        if not consumer.switchable:
            shown.append(Line(f"{consumer.service} is not switchable: {one_line(consumer.reason or '')}", "warn"))
            held = consumer.fixed_at(choices.local)
            if held is not None and says_name(held, choices.local):
                way = f"`gateway: true` with `{consumer.service}: {{}}` under `consumers` moves it too"
                shown.append(Line(f"{way}: the gateway takes over the name {choices.local}", indent=1))
        for setting in consumer.settings:
            if consumer.switchable and setting.template is None:
                shown.append(
                    Line(f"{consumer.service}: {setting.kind} {setting.name or ''}: {one_line(setting.reason)}", "warn")
                )
            elif setting.note and setting.template is not None:
                shown.append(Line(f"{consumer.service}: {setting.name}: {one_line(setting.note)}", "dim"))
        shown += [Line(f"{consumer.service}: {one_line(note)}") for note in consumer.notes]
        if consumer.goes_with_server:
            shown.append(
                Line(f"{consumer.service} only pulls models; it goes off together with the local Ollama", "dim")
            )
    shown += [Line(f"{h.service}: {h.why} ({h.evidence})", "dim") for h in findings.helpers]
    return shown


def _in_use(findings: Findings, choices: Choices) -> list[Block]:
    shown: list[Block] = []
    if choices.default:
        shown.append(Line(f"In use today, and what a plain `stackctl up` means: {choices.default}"))
    for instance in present_instances(findings):
        if instance.auth:
            shown.append(
                Line(
                    f"{instance.name} is reached with credentials in its URL; they are written as {instance.auth}, "
                    f"so give {' and '.join(instance.needs)} in the environment or an env file",
                    "warn",
                )
            )
    keeping = [c.service for c in findings.consumers if c.keeps and c.switchable]
    if keeping:
        shown.append(
            Line(
                f"Recommended: `gateway: true`. {', '.join(keeping)} may hold the address in a database of its own, "
                "which no variable changes; the gateway takes over the name that it holds",
                "warn",
            )
        )
    return shown


def _doubts(findings: Findings, choices: Choices) -> list[Block]:
    if not findings.ambiguous:
        return []
    head = "Not certain:" if choices.asked else "Not certain; the safe choice was taken:"
    return [Line(head, "warn"), *(Line(one_line(text), indent=1) for text in findings.ambiguous)]
