"""``.stackctl/evidence/``: what a failed transaction leaves for people to look at, before it is undone."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import EVIDENCE
from stackctl.commands.reconcile.verify import Verified
from stackctl.errors import StackctlError


def keep_evidence(session: Session, project: str, verified: Sequence[Verified], error: BaseException) -> Path | None:
    """Keep the logs of all containers, their health logs and the probe's results, secrets masked; where they are.

    None where nothing failed, as on an interrupt, or where it could not be kept.
    """
    if isinstance(error, KeyboardInterrupt):
        return None
    where = session.state_directory / EVIDENCE / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(session.clock()))
    try:
        reason = error.message if isinstance(error, StackctlError) else f"{type(error).__name__}: {error}"
        rows = [row.as_json() for answer in verified for row in answer.reach.checks]
        notes: dict[str, Any] = {"error": reason, "checks": rows, "containers": []}
        for container in session.engine.containers(project):
            notes["containers"].append(
                {"name": container.name, "state": container.raw.get("State"), "image": container.raw.get("Image")}
            )
            text = session.redactor.thorough(session.engine.logs(container.name, tail=200))
            session.files.write(where / f"{container.name}.log", text.encode())
        notes = session.redactor.document(notes, thorough=True)
        session.files.write(where / "failure.json", json.dumps(notes, indent=2, default=str).encode())
    except StackctlError as failure:
        session.reporter.warn(f"the evidence could not be kept: {failure.message}")
        return None
    return where
