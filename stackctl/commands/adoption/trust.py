"""``stackctl trust``: the user's yes to what ``stackctl.yaml`` would run, or read from outside of its directory."""

from __future__ import annotations

from stackctl.commands.context.session import Session
from stackctl.commands.context.trust import digest_of, needs_trust
from stackctl.config.loading import read_tree
from stackctl.config.tree import MAX_BYTES
from stackctl.errors import ExpectedFailure, UsageError
from stackctl.outcome import Line, Outcome


def trust(session: Session, *, revoke: bool = False) -> Outcome:
    """Show what would be run and read, and remember the yes to this text of the file; ``revoke`` forgets it.

    In a terminal it is asked once more; elsewhere the call itself is the yes.
    """
    name, path = session.config_name, session.config_path
    if revoke:
        there = session.trust.revoke(path)
        said = f"{name} is trusted no longer" if there else f"{name} was not trusted; nothing to do"
        return Outcome("stackctl.trust/1", {"file": str(path), "trusted": False, "references": []}, [Line(said, "ok")])
    data = session.files.read(path, limit=MAX_BYTES)
    if data is None:
        raise UsageError(f"no {name} in {session.directory}", hint="stackctl init")
    found = needs_trust(session, read_tree(data, name))
    document = {"file": str(path), "references": [{"where": place, "reference": text} for place, text in found]}
    if not found:
        said = f"{name} runs no command and reads no file from outside of its directory; nothing to trust"
        return Outcome("stackctl.trust/1", {**document, "trusted": True}, [Line(said)])
    digest = digest_of(data)
    if session.trust.trusted(path, digest):
        listed = [Line(f"{place}  {text}", indent=1) for place, text in found]
        return Outcome(
            "stackctl.trust/1", {**document, "trusted": True}, [Line(f"{name} is trusted already:", "ok"), *listed]
        )
    session.reporter.note(f"{name} would run, as you, or read from outside of its directory:")
    for place, text in found:
        session.reporter.note(f"  {place}  {text}")
    if not session.reporter.ask(f"Trust this text of {name}?", default=True):
        raise ExpectedFailure(f"{name} is not trusted; nothing of it is run")
    session.trust.add(path, digest)
    said = f"{name} is trusted until it changes"
    return Outcome(
        "stackctl.trust/1",
        {**document, "trusted": True},
        [Line(said, "ok"), Line("stackctl trust --revoke takes it back", "dim", 1)],
    )
