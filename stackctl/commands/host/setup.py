"""``stackctl host-setup``: print, write, apply or undo what an Ollama server needs for this stack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from stackctl.commands.context.session import Session
from stackctl.commands.host.apply import apply, undo
from stackctl.commands.host.derive import SetupOptions, derive
from stackctl.commands.host.machine import ServerHost
from stackctl.commands.host.record import Record, all_records
from stackctl.errors import StepFailed, UsageError
from stackctl.hostsetup import ssh_tunnel
from stackctl.hostsetup.firewall import chain_that_blocks, try_source
from stackctl.hostsetup.host_plan import HostPlan, parse_network, project_name
from stackctl.hostsetup.observed import HostObserved
from stackctl.hostsetup.script import apply_script, printed, undo_script
from stackctl.hostsetup.setup import HostFile, Setup
from stackctl.hostsetup.subjects import FIREWALLS, RENDER
from stackctl.outcome import Block, Line, Outcome, Verbatim
from stackctl.ports import Reporter

SCHEMA = "stackctl.host-setup/1"
_MARK = "Written by `stackctl host-setup"


def host_setup(
    session: Session,
    host: ServerHost,
    options: SetupOptions,
    look: Callable[[int], HostObserved],
    *,
    write: str | None = None,
    do: str = "",
    yes: bool = False,
) -> Outcome:
    """Print the set-up, or apply or undo it (``do``), or write it below the directory ``write``.

    ``look`` reads this machine's devices and firewall rules, to verify that an
    applied firewall really lets the stack in.
    """
    if options.subject not in RENDER:
        raise UsageError(f'no set-up "{options.subject}"', hint=f"known: {', '.join(RENDER)}")
    if options.compose and options.subject != "ssh-tunnel":
        raise UsageError("--compose is for ssh-tunnel")
    if write is not None and do:
        raise UsageError(f"--write and --{do} exclude each other")
    if do == "undo":
        return _undo(session, host, options, yes=yes)
    plan, notes = derive(session, host, options)
    setup = _render(plan, options)
    setup = replace(setup, notes=(*notes, *setup.notes))
    if do == "apply":
        return _apply(session, host, plan, setup, look, yes=yes)
    if write is not None:
        return _write(session, host, setup, write)
    return Outcome(SCHEMA, {"project": plan.project, **setup.document()}, [Verbatim(printed(setup))])


def _render(plan: HostPlan, options: SetupOptions) -> Setup:
    try:
        return ssh_tunnel.render_compose(plan) if options.compose else RENDER[options.subject](plan)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _apply(
    session: Session,
    host: ServerHost,
    plan: HostPlan,
    setup: Setup,
    look: Callable[[int], HostObserved],
    *,
    yes: bool,
) -> Outcome:
    _require_root(host, setup.subject)
    reporter = session.reporter
    for note in setup.notes:
        reporter.note(note)
    if not yes:
        reporter.note(f"{setup.summary}:")
        for file in setup.files:
            reporter.note(f"  write {file.path}")
        for command in setup.apply_commands:
            reporter.note(f"  run {command.text}")
        if not reporter.ask("Do it on this machine?"):
            raise UsageError("not confirmed; nothing was touched", hint="--yes does it without asking")
    verify = partial(_verify_sources_admitted, plan, look, reporter) if setup.subject in FIREWALLS else None
    changed = apply(setup, plan, host, reporter, verify)
    data = {"project": plan.project, **setup.document(), "applied": True, "changed": changed}
    said = setup.summary if changed else f"in force already: {setup.summary}"
    again = f"stackctl host-setup {setup.subject} --project {plan.project} --undo"
    return Outcome(SCHEMA, data, [Line(said, "ok"), Line(f"undo: sudo {again}", "dim")], ["stackctl host-check"])


def _verify_sources_admitted(plan: HostPlan, look: Callable[[int], HostObserved], reporter: Reporter) -> None:
    """Raise ``StepFailed`` where a rule that is in force still blocks one of the sources."""
    with reporter.step("see that the rules let the stack in"):
        seen = look(plan.port)
        for source in plan.allowed:
            verdict = try_source(seen, source).verdict
            if verdict.answer in ("drop", "reject"):
                chain = chain_that_blocks(verdict)
                raise StepFailed(
                    f"another rule still keeps {source} out: {verdict.rule}",
                    hint=f"--nft-chain '{chain}' opens it there too"
                    if chain
                    else "take that rule away, or open it there",
                )
            if verdict.answer == "unknown":
                reporter.warn(f"whether {source} gets in is not certain, because of: {verdict.rule}")
        if plan.exclusive and seen.firewall.ufw_enabled is False and not _blocks_strangers(seen):
            reporter.warn("no rule is in force: ufw is inactive (allow SSH first, then `ufw enable`)")


def _blocks_strangers(seen: HostObserved) -> bool:
    """Whether the rules in force block an address that nobody allowed."""
    return try_source(seen, parse_network("203.0.113.77")).verdict.answer != "accept"


def _undo(session: Session, host: ServerHost, options: SetupOptions, *, yes: bool) -> Outcome:
    _require_root(host, options.subject)
    record = _record_meant(session, host, options)
    if record is None:
        data = {"subject": options.subject, "undone": False}
        return Outcome(SCHEMA, data, [Line(f"nothing to undo: no {options.subject} was applied here", "ok")])
    if not yes and not session.reporter.ask(f"Undo: {record.setup.summary}?"):
        raise UsageError("not confirmed; nothing was touched", hint="--yes does it without asking")
    kept = undo(record, host, session.reporter)
    blocks: list[Block] = [Line(f"undone: {record.setup.summary}", "ok")]
    blocks += [Line(f"edited since, and kept: {path}", "warn") for path in kept]
    data = {"subject": options.subject, "project": record.project, "undone": True, "kept": kept}
    return Outcome(SCHEMA, data, blocks)


def _record_meant(session: Session, host: ServerHost, options: SetupOptions) -> Record | None:
    """The subject's record for the project given, else the only one, else the one of this directory's project."""
    found = [record for record in all_records(host) if record.setup.subject == options.subject]
    wanted = project_name(options.project) if options.project else ""
    if not wanted and len(found) > 1:
        here = project_name(session.directory.name)
        if not any(record.project == here for record in found):
            known = ", ".join(record.project for record in found)
            raise UsageError(f"several projects have a {options.subject} here", hint=f"--project, one of: {known}")
        wanted = here
    return next((record for record in found if wanted in ("", record.project)), None)


def _require_root(host: ServerHost, subject: str) -> None:
    if not host.is_root():
        raise UsageError(
            "this changes the machine, and so needs root",
            hint=f"sudo stackctl host-setup {subject} … --apply; or --write DIR, and look at it first",
        )


def _write(session: Session, host: ServerHost, setup: Setup, directory: str) -> Outcome:
    """Files below ``directory`` at their paths, with a script that applies and one that undoes."""
    root = session.directory / directory
    if all(not file.path.startswith("/") for file in setup.files) and setup.files:
        files = setup.files
    else:
        files = (
            *(HostFile(file.path.lstrip("/"), file.text, file.mode) for file in setup.files),
            HostFile(
                "apply.sh", f"#!/bin/sh\n# {_MARK} {setup.subject}`.\n{apply_script(setup, write_files=False)}", 0o755
            ),
            HostFile("undo.sh", f"#!/bin/sh\n# {_MARK} {setup.subject}`.\n{undo_script(setup)}", 0o755),
        )
    targets = {str(root / PurePosixPath(file.path)): file for file in files}
    for path, file in targets.items():
        there = host.read(path)
        if there is not None and there != file.text.encode() and _MARK.encode() not in there:
            raise UsageError(
                f"{path} is there and not stackctl's; nothing was written", hint="--write ANOTHER-DIRECTORY"
            )
    for path, file in targets.items():
        host.write(path, file.text.encode(), file.mode)
    data = {**setup.document(), "written": list(targets)}
    blocks: list[Block] = [Line(f"wrote {path}") for path in targets]
    blocks += [Line(note, "dim") for note in setup.notes]
    scripts = [path for path in targets if path.endswith("/apply.sh")]
    return Outcome(SCHEMA, data, blocks, [f"sudo sh {path}" for path in scripts])
