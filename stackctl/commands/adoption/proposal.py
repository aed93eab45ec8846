"""What ``init`` proposes: the findings, the choices made over them, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stackctl.commands.adoption.reading import Reading
from stackctl.commands.adoption.report import blocks
from stackctl.commands.adoption.running import lacking
from stackctl.commands.context.session import Session
from stackctl.outcome import Block, Line, Outcome, Verbatim
from stackctl.ports import Container
from stackctl.project.discovery.config_text import Choices, Origin, default_name, render_config
from stackctl.project.discovery.discover import discover, with_choice
from stackctl.project.discovery.findings import Consumer, Findings, Setting
from stackctl.project.discovery.names import is_openai
from stackctl.project.discovery.raw import load
from stackctl.project.discovery.staying import local_of, settled


@dataclass(frozen=True)
class Proposal:
    """The findings, the choices over them, and what to say about what was not certain."""

    findings: Findings
    choices: Choices
    said: tuple[str, ...] = field(default=())

    @property
    def text(self) -> str:
        """The ``stackctl.yaml`` that is proposed."""
        return render_config(self.findings, self.choices)


def find(reading: Reading) -> Findings:
    """Discovery over what Compose is reading; the files' own texts are parsed meanwhile."""
    raw = load(reading.files, reading.reader, reading.variables)
    return discover(reading.source(), raw)


def propose(
    session: Session, findings: Findings, origin: Origin, containers: Sequence[Container] = (), *, ask: bool
) -> Proposal:
    """The user's choices, or the safe ones with what was left undecided; ``containers`` are the project's."""
    said: list[str] = list(findings.ambiguous)
    servers = [s.service for s in findings.ollama_services if not s.bundled]
    safe = local = local_of(findings)
    if len(servers) > 1:
        if ask:
            picked = session.reporter.choose("Which of them is the local Ollama?", servers, default=servers.index(safe))
            local = servers[picked]
        said.insert(0, f"several Ollama services: {', '.join(servers)}; `local` takes {local}")
    absent = lacking(session, findings, local, containers)
    said += [
        f"{model} is named by the project, and the server in use does not have it: not required"
        for model in sorted(absent)
    ]
    findings = settled(findings, local, absent)
    choices = Choices(origin=origin, local=local, default=default_name(findings, local), asked=local != safe)
    for consumer, setting in _doubtful(findings):
        template = "{url}/v1" if is_openai(setting.name or "") else "{url}"
        question = f"{consumer.service}: {setting.name} is empty today. Point it at Ollama, as {template}?"
        if ask and session.reporter.ask(question, default=False):
            findings = with_choice(findings, consumer.service, setting.name or "", template)
            said = [s for s in said if not s.startswith(f"{consumer.service}: {setting.name} is empty")]
    return Proposal(findings, choices, tuple(said))


def _doubtful(findings: Findings) -> list[tuple[Consumer, Setting]]:
    return [
        (consumer, setting)
        for consumer in findings.consumers
        for setting in consumer.settings
        if setting.kind == "env" and setting.template is None and setting.reason.startswith("empty today")
    ]


def tail(session: Session, proposal: Proposal, *, written: bool) -> list[Block]:
    """What is said at the end of a first ``init``."""
    if written:
        return [Line(f"wrote {session.config_name}; no other file was changed", "ok")]
    return [Line(f"{session.config_name} would be:", "strong"), Verbatim(proposal.text)]


def outcome(proposal: Proposal, *, written: bool, tail: Sequence[Block], differing: Sequence[str] = ()) -> Outcome:
    """The document and the blocks; ``tail`` comes after what was found."""
    findings = replace(proposal.findings, ambiguous=proposal.said)
    data = {**findings.document(), "config": proposal.text, "written": written, "differences": list(differing)}
    steps = ["stackctl render    (what the override says)", "stackctl up        (bring the stack up, verified)"]
    return Outcome(
        "stackctl.init/1",
        data,
        [*blocks(findings, proposal.choices), *tail],
        next_steps=steps if written and any(c.switchable for c in findings.consumers) else [],
    )
