"""What a ``stackctl.yaml`` that is there already says differently from what was found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stackctl.project.discovery.config_text import Choices, fixed_in, in_config
from stackctl.project.discovery.findings import Consumer, Findings


def differences(existing: Any, findings: Findings, choices: Choices) -> list[str]:
    """One line for each difference that matters; comments and order do not. ``existing`` is the parsed file."""
    return [*_consumers(_section(existing, "consumers"), findings, choices), *_rest(existing, findings, choices)]


def _section(data: Any, key: str) -> dict[str, Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}


def _consumers(written: dict[str, Any], findings: Findings, choices: Choices) -> Iterator[str]:
    found = {c.service: c for c in in_config(findings)}
    fixed = {c.service: s.evidence for c, s in fixed_in(findings, choices.local)}
    for name, consumer in found.items():
        if name in written:
            yield from _told(name, written[name], consumer)
        else:
            place = next((s.evidence for s in consumer.settings if s.template is not None), "")
            yield f"{name} uses Ollama ({place}) and is not in the file"
    for name, place in fixed.items():
        if name not in written:
            yield f"{name} uses Ollama ({place}), cannot be told otherwise, and is not in the file"
    for name in written:
        if name not in found and name not in fixed:
            yield f"{name} is in the file; {_why_not(findings.consumer(name))}"


def _told(name: str, written: Any, consumer: Consumer) -> Iterator[str]:
    """What the file tells a consumer differently."""
    for key, words in consumer.arguments:
        said = written.get(key) if isinstance(written, dict) else None
        if said != list(words):
            yield f"{name}: {key}: the file says {said or 'nothing'}, found {list(words)}"
    told = _section(written, "env")
    for variable, template in consumer.templates.items():
        if variable not in told:
            yield f"{name}: {variable} is not in the file; found {template}"
        elif told[variable] != template:
            yield f"{name}: {variable}: the file says {told[variable]}, found {template}"


def _why_not(consumer: Consumer | None) -> str:
    """Why ``init`` would not list it."""
    if consumer is None:
        return "nothing in the Compose files shows that it uses Ollama"
    if not consumer.switchable:
        return "an override cannot reach it, or would move it"
    return "it only pulls models, together with the server"


def _rest(existing: Any, findings: Findings, choices: Choices) -> Iterator[str]:
    servers = [s.service for s in findings.ollama_services if not s.bundled]
    local = _section(existing, "local").get("service")
    if servers and (local or "ollama") not in servers:
        yield f"local: the file means the service {local or 'ollama'}; found: {', '.join(servers)}"
    if choices.default and isinstance(existing, dict) and existing.get("default") != choices.default:
        yield f"default: the file says {existing.get('default') or 'nothing'}, in use is {choices.default}"
    written = _section(existing, "compose")
    for key in ("files", "env_files", "profiles"):
        asked, listed = getattr(choices.origin, key), written.get(key) or []
        if asked and list(asked) != list(listed):
            said = ", ".join(map(str, listed)) or "nothing"
            yield f"compose.{key}: the file says {said}, asked for {', '.join(asked)}"
    name = choices.origin.project
    if name and name != written.get("project"):
        yield f"compose.project: the file says {written.get('project') or 'nothing'}, here it is {name}"
