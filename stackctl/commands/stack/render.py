"""``stackctl render``: the override for a target, or the project merged with it, secrets redacted."""

from __future__ import annotations

from dataclasses import replace

from stackctl.commands.context.project_loader import load_in_force, resolve_project, with_override
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import candidate
from stackctl.commands.reconcile.prepare import choose_profile, prepare, secret_values
from stackctl.config.redacted_yaml import redact_yaml
from stackctl.config.target import resolve
from stackctl.errors import UsageError
from stackctl.outcome import Outcome, Verbatim


def render(
    session: Session, profile: str | None, *, merged: bool = False, show_secrets: bool = False, yes: bool = False
) -> Outcome:
    """Print what ``up PROFILE`` would use; touches nothing of the stack.

    ``show_secrets`` prints values as they are, after a yes: that of a terminal, or ``yes``.
    """
    if show_secrets:
        _ask(session, yes=yes)
    state, stack = load_in_force(session)
    session.engine.compose_version()
    project, stack = resolve_project(session, stack)
    name = choose_profile(stack, project, state, profile)
    pins = state.pins if state else {}
    prepared = prepare(session, stack, project, resolve(stack.config, name), pins=pins, with_secrets=show_secrets)
    for warning in prepared.warnings:
        session.reporter.warn(warning)
    data = {"profile": name, "target": str(prepared.target.url), "digest": prepared.override.digest}
    if not merged:
        text = redact_yaml(prepared.override.text, session.redactor)
        return Outcome("stackctl.render/1", {**data, "override": text}, [Verbatim(text)])
    if not show_secrets:
        session.hide(secret_values(session, stack))
    with candidate(session, prepared.override.text) as path:
        call = replace(with_override(session, stack, path), variables=prepared.variables)
        document = session.engine.config(call)
        # Compose's YAML leaves out what its JSON has as null, and is what people compare this with.
        text = "" if session.as_json else redact_yaml(session.engine.compose(call, ["config"]).text, session.redactor)
    return Outcome("stackctl.render/1", {**data, "project": session.redactor.document(document)}, [Verbatim(text)])


def _ask(session: Session, *, yes: bool) -> None:
    """From a yes on, nothing is redacted; raises :class:`UsageError` where there is none."""
    if not yes and not session.reporter.ask("Print the secrets of this project as they are?"):
        raise UsageError("secrets are printed after a yes only", hint="stackctl render --merged --show-secrets --yes")
    session.redactor.shows = True
