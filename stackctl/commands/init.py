"""``init``: adopt a Compose project. Finds who uses Ollama and writes ``stackctl.yaml``, and no other file."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stackctl.commands.adopt import compose_files, read_project
from stackctl.commands.init_show import blocks
from stackctl.commands.outcome import Block, Line, Outcome, Verbatim
from stackctl.commands.session import Session
from stackctl.config.tree import MAX_BYTES, parse
from stackctl.errors import WrongInput
from stackctl.project.discovery.config_text import Choices, render_config
from stackctl.project.discovery.differences import differences
from stackctl.project.discovery.discover import choose_local, discover, with_choice
from stackctl.project.discovery.findings import Consumer, Findings, Setting
from stackctl.project.discovery.names import is_openai


@dataclass(frozen=True)
class _Proposal:
    findings: Findings
    choices: Choices
    said: tuple[str, ...] = field(default=())

    @property
    def text(self) -> str:
        return render_config(self.findings, self.choices)


def init(session: Session, *, files: Sequence[str] = (), yes: bool = False, dry_run: bool = False) -> Outcome:
    """Find, choose, and write ``stackctl.yaml`` where there is none yet.

    With ``yes``, and without a terminal, every choice is the safe one, and the
    outcome says which. Raises :class:`ComposeFileError` with Compose's own
    reason for a project that Compose cannot read.
    """
    paths = compose_files(session, files)
    with session.reporter.step("reading the Compose project"):
        findings = discover(read_project(session, paths))
    named = tuple(_relative(session, p) for p in paths) if files else ()
    proposal = _choose(session, findings, Choices(files=named), ask=not yes)
    existing = session.files.read(session.config_path, limit=MAX_BYTES)
    if existing is not None:
        return _compare(session, proposal, existing)
    written = not dry_run and session.files.write(session.config_path, proposal.text.encode(), mode=0o644)
    return _outcome(session, proposal, written=written, tail=_tail(session, proposal, written=written))


def _relative(session: Session, path: Path) -> str:
    """``path`` as ``compose.files`` is to say it: relative to the directory of ``stackctl.yaml``."""
    home = str(session.config_path.parent)
    relative = posixpath.relpath(str(path), home)
    return str(path) if relative.startswith("../../../..") else relative


def _choose(session: Session, findings: Findings, choices: Choices, *, ask: bool) -> _Proposal:
    """The user's choices, or the safe ones with what was left undecided."""
    said: list[str] = list(findings.ambiguous)
    servers = [s.service for s in findings.ollama_services if not s.bundled]
    if len(servers) > 1:
        safe = choose_local(findings.ollama_services)
        picked = session.reporter.choose(
            "Which of them is the local Ollama?", servers, default=servers.index(safe)
        ) if ask else servers.index(safe)
        choices = replace(choices, local=servers[picked])
        said = [s.replace(f"`local` takes {safe}", f"`local` takes {servers[picked]}") for s in said]
    for consumer, setting in _doubtful(findings):
        template = "{url}/v1" if is_openai(setting.name or "") else "{url}"
        question = f"{consumer.service}: {setting.name} is empty today. Point it at Ollama, as {template}?"
        if ask and session.reporter.ask(question, default=False):
            findings = with_choice(findings, consumer.service, setting.name or "", template)
            said = [s for s in said if not s.startswith(f"{consumer.service}: {setting.name} is empty")]
    keeping = [c for c in findings.consumers if c.companions]
    if keeping:
        names = ", ".join(f"{c.service}: {', '.join(f'{k}={v}' for k, v in c.companions)}" for c in keeping)
        question = f"{keeping[0].notes[0]}. Make the environment count ({names})?"
        keep = session.reporter.ask(question, default=True) if ask else True
        choices = replace(choices, companions=keep)
        if keep:
            said.append(f"{names}: set, so that the environment counts; what is set in the app's own pages no longer lasts")
    return _Proposal(findings, choices, tuple(said))


def _doubtful(findings: Findings) -> list[tuple[Consumer, Setting]]:
    return [
        (consumer, setting) for consumer in findings.consumers for setting in consumer.settings
        if setting.kind == "env" and setting.template is None and setting.reason.startswith("empty today")
    ]


def _compare(session: Session, proposal: _Proposal, existing: bytes) -> Outcome:
    """A second ``init``: nothing is written, and what differs is shown."""
    text = existing.decode("utf-8", "replace")
    tree = parse(text, session.config_name)
    if tree.problems:
        first = tree.problems[0]
        raise WrongInput(
            f"{session.config_name} is there already and cannot be read: {first.message}", where=first.where,
            hint=f"mend it, or move it away and run `stackctl init` again: mv {session.config_name} {session.config_name}.old",
        )
    found = differences(tree.data, proposal.findings, proposal.choices)
    tail: list[Block] = []
    if not found:
        tail.append(Line(f"{session.config_name} is there already and says the same; nothing was changed", "ok"))
    else:
        tail.append(Line(f"{session.config_name} is there already and was not changed. What differs:", "warn"))
        tail += [Line(line, indent=1) for line in found]
        diff = difflib.unified_diff(
            text.splitlines(), proposal.text.splitlines(), session.config_name, "what init would write", lineterm="", n=1
        )
        tail.append(Verbatim("\n".join(diff) + "\n"))
    return _outcome(session, proposal, written=False, tail=tail, differing=found)


def _tail(session: Session, proposal: _Proposal, *, written: bool) -> list[Block]:
    if written:
        return [Line(f"wrote {session.config_name}; no other file was changed", "ok")]
    return [Line(f"{session.config_name} would be:", "strong"), Verbatim(proposal.text)]


def _outcome(
    session: Session, proposal: _Proposal, *, written: bool, tail: Sequence[Block], differing: Sequence[str] = ()
) -> Outcome:
    findings = replace(proposal.findings, ambiguous=proposal.said)
    data = {**findings.document(), "config": proposal.text, "written": written, "differences": list(differing)}
    steps = ["stackctl render    (what the override says)", "stackctl up        (bring the stack up, verified)"]
    return Outcome(
        "stackctl.init/1", data, [*blocks(findings, proposal.choices), *tail],
        next_steps=steps if written and any(c.switchable for c in findings.consumers) else [],
    )
