"""``init``: adopt a Compose project. Finds who uses Ollama and writes ``stackctl.yaml``, and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stackctl.commands.adoption.given import given
from stackctl.commands.adoption.reading import Reading
from stackctl.commands.context.session import Session
from stackctl.outcome import Outcome
from stackctl.project.discovery.source import MAX_TEXT


def init(
    session: Session,
    *,
    files: Sequence[str] = (),
    yes: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Find, choose, and write ``stackctl.yaml`` where there is none yet.

    With ``yes``, and without a terminal, every choice is the safe one, and the
    outcome says which. Raises :class:`ComposeFileError` with Compose's own
    reason for a project that Compose cannot read.
    """
    existing = session.files.read(session.config_path, limit=MAX_TEXT)
    project = given(session, files, existing)
    with session.reporter.step("reading the Compose project"):
        reading = Reading(session, project)
        # Loading the finder takes as long as Compose takes to resolve a project, so the two go side by side.
        from stackctl.commands.adoption.proposal import find, outcome, propose, tail  # noqa: PLC0415

        findings = find(reading)
    listed = project.origin.profiles
    origin = replace(project.origin, profiles=(*listed, *(p for p in reading.started if p not in listed)))
    proposal = propose(session, findings, origin, reading.containers, ask=not yes)
    if existing is not None:
        from stackctl.commands.adoption.comparison import compare  # noqa: PLC0415

        return compare(session, proposal, existing)
    written = not dry_run and session.files.write(session.config_path, proposal.text.encode(), mode=0o644)
    return outcome(proposal, written=written, tail=tail(session, proposal, written=written))
