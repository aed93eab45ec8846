"""Apply a set-up to this machine, whole or not at all, and undo it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath

from stackctl.commands.host.machine import ServerHost
from stackctl.commands.host.record import DIRECTORY, Before, Record, all_records, load_record, same_setup
from stackctl.errors import ExpectedFailure, RollbackFailed, StepFailed, UsageError
from stackctl.hostsetup.host_plan import HostPlan
from stackctl.hostsetup.setup import Command, Setup
from stackctl.hostsetup.subjects import FIREWALLS
from stackctl.ports import Reporter


def apply(
    setup: Setup, plan: HostPlan, host: ServerHost, reporter: Reporter, verify: Callable[[], None] | None = None
) -> bool:
    """Apply ``setup``; False where it is in force already. On any failure, Ctrl-C too, all of it is undone.

    ``verify`` raises where the set-up does not have its effect. Raises ``StepFailed`` with what the
    failed command printed, or ``RollbackFailed`` with the commands that finish the undoing by hand.
    """
    old = _load(host, setup.subject, plan.project)
    if old is not None and old.state == "applied" and same_setup(old.setup, setup):
        edited = [file.path for file in old.setup.files if host.read(file.path) != file.text.encode()]
        if not edited:
            return False
    _check(setup, plan, host)
    if old is not None:
        undo(old, host, reporter)
    port = plan.proxy.port if plan.proxy else plan.port
    paths = [f.path for f in setup.files] + list(setup.touches)
    before = {path: Before(host.read(path), host.mode(path)) for path in paths}
    sources = tuple(str(network) for network in plan.allowed)
    record = Record(
        plan.project, port, plan.exclusive, setup, before, sources, _missing(host, [*paths, f"{DIRECTORY}/x"])
    )
    try:
        _carry_out(record, host, reporter)
        if verify is not None:
            verify()
    except BaseException as error:
        reporter.warn("undoing what had begun")
        saved = _load(host, setup.subject, plan.project) or record  # lists the steps that ran
        undo(saved, host, reporter, failing=getattr(error, "command", None))
        if old is not None and isinstance(error, ExpectedFailure):
            reporter.note("putting the set-up that was there before back in force")
            _carry_out(replace(old, done=(), state="applying"), host, reporter)
        raise
    return True


class _CommandFailed(StepFailed):
    """A command of a set-up failed; where undoing runs ``command`` again, its failing again is no error."""

    command: Command | None = None


def _missing(host: ServerHost, paths: list[str]) -> tuple[str, ...]:
    """Directories above the paths that are not there yet, the innermost first."""
    parents = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return tuple(sorted((p for p in parents if not host.exists(p)), key=lambda p: (-p.count("/"), p)))


def _carry_out(record: Record, host: ServerHost, reporter: Reporter) -> None:
    setup = record.setup
    record.save(host)
    for file in setup.files:
        with reporter.step(f"write {file.path}"):
            host.write(file.path, file.text.encode(), file.mode)
    for command in setup.settle:
        _run(command, host, reporter)
    for index, step in enumerate(setup.steps):
        if step.present and _is_present(step.present.argv, step.present.needle, host):
            reporter.detail(f"there already: {step.present.needle}")
            continue
        # Recorded before it runs, so that a step that is interrupted is undone too.
        record = record.with_step(index)
        record.save(host)
        _run(step.run, host, reporter)
    for command in setup.finish:
        _run(command, host, reporter)
    replace(record, state="applied").save(host)


def undo(record: Record, host: ServerHost, reporter: Reporter, *, failing: Command | None = None) -> list[str]:
    """Undo a set-up and restore the files it replaced; returns the copies of those that were edited meanwhile.

    A failure does not keep the rest from being undone, and raises ``RollbackFailed``
    at the end. Two failures do not count: of the undo of a step that was interrupted,
    and of ``failing``, the command whose failure is the reason for undoing.
    """
    failed: list[tuple[str, str]] = []
    kept: list[str] = []
    setup = record.setup
    for index in reversed(record.done):
        step = setup.steps[index]
        if step.undo is not None:
            cut_short = record.state == "applying" and index == record.done[-1]
            _try(step.undo, host, reporter, failed, lenient=cut_short)
    for file in setup.files:
        current, was = host.read(file.path), record.before[file.path]
        if current not in (None, file.text.encode(), was.data):
            aside = f"{DIRECTORY}/edited/{record.project}{file.path.replace('/', '-')}"
            host.write(aside, current or b"", 0o600)
            kept.append(aside)
        try:
            if was.data is None:
                host.remove(file.path)
            else:
                host.write(file.path, was.data, was.mode or 0o644)
        except StepFailed as error:
            failed.append((f"put back {file.path}", error.message))
    for command in (*setup.settle, *setup.finish):
        _try(command, host, reporter, failed, lenient=command == failing)
    if failed:
        raise RollbackFailed(
            f"undoing {setup.subject} failed: {failed[0][1]}",
            steps=[text for text, _ in failed],
            hint=f"what was there before is kept in {record.path}",
        )
    host.remove(record.path)
    for directory in record.made:
        host.remove_empty(directory)
    return kept


def _load(host: ServerHost, subject: str, project: str) -> Record | None:
    try:
        return load_record(host, subject, project)
    except ValueError as error:
        raise ExpectedFailure(f"the record in {DIRECTORY} cannot be read: {error}") from None


def _is_present(argv: tuple[str, ...], needle: str, host: ServerHost) -> bool:
    done = host.run(argv)
    return done.code == 0 and any(needle in line for line in done.text.splitlines())


def _run(command: Command, host: ServerHost, reporter: Reporter) -> None:
    with reporter.step(command.why or command.text):
        reporter.detail(command.text)
        done = host.run(command.argv, timeout=120.0)
        if done.code != 0:
            said = (done.error_text.strip() or done.text.strip() or f"it ended with code {done.code}").splitlines()
            error = _CommandFailed(f"`{command.text}`: {' · '.join(said[-3:])}", hint="run it by hand to see more")
            error.command = command
            raise error


def _try(
    command: Command, host: ServerHost, reporter: Reporter, failed: list[tuple[str, str]], *, lenient: bool
) -> None:
    """Run a command while undoing; a failure is added to ``failed`` unless ``lenient``."""
    done = host.run(command.argv, timeout=120.0)
    reporter.detail(f"{command.text}: {done.code}")
    if done.code != 0 and not lenient:
        failed.append((command.text, (done.error_text.strip() or done.text.strip() or f"code {done.code}")))


def _check(setup: Setup, plan: HostPlan, host: ServerHost) -> None:
    """Raise where the set-up cannot be applied here: nothing has been changed yet."""
    for file in setup.files:
        if not file.path.startswith("/"):
            raise UsageError(
                f"{file.path} belongs into the project, not onto this machine", hint="--write . puts it there"
            )
    missing = [
        need
        for need in setup.needs
        if (host.which(need.name) is None if need.kind == "program" else not host.exists(need.name))
    ]
    if missing:
        raise ExpectedFailure(
            f"{', '.join(need.name for need in missing)} missing; nothing was touched",
            hint="\n".join(f"{need.name}: {need.remedy}" for need in missing),
        )
    if setup.subject in FIREWALLS and plan.exclusive:
        for other in all_records(host):
            if (
                other.setup.subject in FIREWALLS
                and other.project != plan.project
                and other.port == plan.port
                and other.exclusive
            ):
                raise ExpectedFailure(
                    f"port {plan.port} is closed to all but the stack {other.project}, which this would shut out",
                    hint=f"name both in one: --project {other.project} --from THEIRS --from YOURS; or use --shared",
                )
