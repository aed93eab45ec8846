"""``init``: adopt a Compose project. Finds who uses Ollama and writes ``stackctl.yaml``, and no other file."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from stackctl.commands.adoption.reading import Reading
from stackctl.commands.context.compose_files import compose_files
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
    files = files or _files_of(existing, session.config_name)
    paths = compose_files(session, files)
    with session.reporter.step("reading the Compose project"):
        reading = Reading(session, paths)
        # Loading the finder takes as long as Compose takes to resolve a project, so the two go side by side.
        from stackctl.commands.adoption.proposal import find, outcome, propose, tail  # noqa: PLC0415

        findings = find(reading)
    proposal = propose(session, findings, tuple(_relative(session, p) for p in paths) if files else (), ask=not yes)
    if existing is not None:
        from stackctl.commands.adoption.comparison import compare  # noqa: PLC0415

        return compare(session, proposal, existing)
    written = not dry_run and session.files.write(session.config_path, proposal.text.encode(), mode=0o644)
    return outcome(proposal, written=written, tail=tail(session, proposal, written=written))


def _files_of(existing: bytes | None, name: str) -> list[str]:
    """The Compose files that a ``stackctl.yaml`` names; none where there is no such file, or where it names none."""
    if existing is None:
        return []
    from stackctl.config.tree import parse  # noqa: PLC0415

    data = parse(existing.decode("utf-8", "replace"), name).data
    section = data.get("compose") if isinstance(data, dict) else None
    files = section.get("files") if isinstance(section, dict) else None
    return [str(f) for f in files] if isinstance(files, list) else []


def _relative(session: Session, path: Path) -> str:
    """``path`` as ``compose.files`` is to say it: relative to the directory of ``stackctl.yaml``."""
    relative = posixpath.relpath(str(path), str(session.config_path.parent))
    return str(path) if relative.startswith("../../../..") else relative
