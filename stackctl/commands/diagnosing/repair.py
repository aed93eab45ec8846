"""``diagnose --fix``: one repair at a time, the same probe again, and back where it did not help.

Only ``.stackctl/fixes.yaml`` and containers of this project change; a file of
the user's never does. What needs root, here or elsewhere, is printed only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackctl.commands.context.project_loader import FIXES
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import workspace
from stackctl.commands.diagnosing import report
from stackctl.commands.diagnosing.diagnose import Diagnosis
from stackctl.commands.diagnosing.scene_reader import DiagnosedProject
from stackctl.diagnose.findings import Finding
from stackctl.diagnose.repair import Repair
from stackctl.diagnose.repair_makers import plan
from stackctl.errors import ComposeFileError, StackctlError, StepFailed
from stackctl.outcome import Line, Outcome
from stackctl.ports import ComposeCall
from stackctl.project.yamltext import Override, Reset, dump
from stackctl.waiting import until

HEADER = "# Written by stackctl diagnose --fix, after your own files; remove this file to take its repairs back.\n"
ROUNDS = 12
STARTING = frozenset({"ollama-not-running", "startup-race"})
"""What a server looks like that has been started and does not listen yet."""
SETTLE = 30.0
"""Seconds that what was just started may take to come up."""


@dataclass
class Bench:
    """What was repaired so far. ``document`` is the fragment in force; ``log`` what was done, for people."""

    session: Session
    document: dict[str, Any] = field(default_factory=dict)
    log: list[Line] = field(default_factory=list)
    repairs: list[dict[str, object]] = field(default_factory=list)
    tried: set[tuple[str, str | None, str]] = field(default_factory=set)
    alone: set[tuple[str, str | None, str]] = field(default_factory=set)
    """What did not help together, and is to be tried one by one."""

    @property
    def path(self) -> Path:
        """Where the repairs are kept."""
        return self.session.state_directory / FIXES


def mend(session: Session, found: Diagnosis, again: Callable[[], Diagnosis], *, yes: bool) -> Outcome:
    """Repair what can be repaired; the outcome is the last diagnosis, with what was done above it.

    Raises :class:`ProjectLocked` while another stackctl changes this project.
    """
    bench = Bench(session)
    with workspace(session, "diagnose --fix"):
        bench.document = _read(session, bench.path)
        for _ in range(ROUNDS):
            batch = _next(bench, found)
            if not batch:
                break
            after = _one_round(bench, found, batch, again, yes=yes)
            if after is None:
                continue
            found = after
    shown = report.outcome(found, before=bench.log)
    return replace(shown, data={**shown.data, "repairs": bench.repairs})


def _key(finding: Finding) -> tuple[str, str | None, str]:
    """What is repaired once: a cause, at a consumer, in one of its variables."""
    return finding.cause, finding.consumer, finding.words.get("variable", "")


def _next(bench: Bench, found: Diagnosis) -> list[tuple[Finding, Repair]]:
    """The first repair to make, with the same one of other consumers: they have the same cause."""
    if found.stage is None:
        return []
    batch: list[tuple[Finding, Repair]] = []
    for finding in found.findings:
        if _key(finding) in bench.tried or not finding.remedy.fix:
            continue
        if batch and (finding.cause != batch[0][0].cause or finding.consumer is None or _key(finding) in bench.alone):
            continue
        repair = plan(finding, found.stage.scene)
        if repair is None:
            bench.tried.add(_key(finding))
            continue
        batch.append((finding, repair))
        if _key(finding) in bench.alone:
            break
    return batch


def _one_round(
    bench: Bench, found: Diagnosis, batch: list[tuple[Finding, Repair]], again: Callable[[], Diagnosis], *, yes: bool
) -> Diagnosis | None:
    finding = batch[0][0]
    says = "; ".join(dict.fromkeys(r.says for _, r in batch))
    for one, _ in batch:
        bench.tried.add(_key(one))
    if not yes and not bench.session.reporter.ask(f"{finding.cause}: {says}?"):
        bench.log.append(Line(f"{finding.cause}: left as it is ({says})", "dim"))
        return None
    stage = found.stage
    assert stage is not None  # noqa: S101  (a batch is made of a stage)
    before = dict(bench.document)
    try:
        with bench.session.reporter.step(says):
            _apply(bench, stage, [r for _, r in batch])
        after = _settled(again, {s for _, r in batch for s in r.recreate})
        helped = not _still(after, batch) and _no_worse(found, after)
    except StackctlError as error:
        _take_back(bench, stage, before, [r for _, r in batch])
        bench.log.append(
            Line(f"{finding.cause}: {says}: failed and taken back ({error.message.splitlines()[0]})", "bad")
        )
        bench.repairs.append({"cause": finding.cause, "did": says, "kept": False})
        return again()
    bench.repairs.append({"cause": finding.cause, "did": says, "kept": helped})
    if helped:
        bench.log.append(Line(f"{finding.cause}: {says}", "ok"))
        return after
    _take_back(bench, stage, before, [r for _, r in batch])
    if len(batch) > 1:  # it may have helped one of them
        keys = {_key(f) for f, _ in batch}
        bench.alone |= keys
        bench.tried -= keys
    bench.log.append(Line(f"{finding.cause}: {says}: did not help, taken back", "warn"))
    return again()


def _settled(again: Callable[[], Diagnosis], services: set[str]) -> Diagnosis:
    """Look again, and once more while a server that was just started has not come up; half a minute at most."""
    seen: list[Diagnosis] = []

    def settled() -> bool:
        seen.append(again())
        return not any(f.cause in STARTING and f.words.get("target_service") in services for f in seen[-1].findings)

    until(settled, within=SETTLE, every=0.5)
    return seen[-1]


def _still(after: Diagnosis, batch: list[tuple[Finding, Repair]]) -> bool:
    left = {_key(f) for f in after.findings}
    return any(_key(f) in left for f, _ in batch)


def _no_worse(before: Diagnosis, after: Diagnosis) -> bool:
    """No consumer that reached its Ollama has lost it."""
    fine = {name for (name, _), r in before.reaches.items() if r.ok}
    bad = {name for (name, _), r in after.reaches.items() if not r.ok}
    return not fine & bad


def _apply(bench: Bench, stage: DiagnosedProject, repairs: list[Repair]) -> None:
    for repair in repairs:
        _merge(bench.document, repair)
        if repair.network:
            project = stage.scene.project.name
            bench.session.engine.create_network(
                repair.network, labels={"io.stackctl.project": project, "io.stackctl.role": "network"}
            )
        if repair.model:
            done = bench.session.engine.exec(repair.model[0], ["ollama", "pull", repair.model[1]], timeout=3600)
            if done.code:
                raise StepFailed(f"pulling {repair.model[1]} failed: {done.error_text.strip()[-200:]}")
    _write(bench)
    services = _with_sharers(stage, list(dict.fromkeys(s for r in repairs for s in r.recreate if s)))
    if services:
        _up(bench, stage, services, force=any(r.force for r in repairs))


def _with_sharers(stage: DiagnosedProject, services: list[str]) -> list[str]:
    """These, and all that stand in the network of one of them: it goes when that one is made anew."""
    project, scene = stage.scene.project, stage.scene
    shared = [s.name for s in project if project.network_owner(s.name) in services and scene.container(s.name)]
    return list(dict.fromkeys([*services, *shared]))


def _take_back(bench: Bench, stage: DiagnosedProject, before: Mapping[str, Any], repairs: list[Repair]) -> None:
    """As it was: the file, the containers that it changed, the network that it made."""
    bench.document = dict(before)
    _write(bench)
    made = [
        s for s in dict.fromkeys(s for r in repairs for s in r.recreate if s) if stage.scene.container(s) is not None
    ]
    services = _with_sharers(stage, made)
    if services:
        try:
            _up(bench, stage, services, force=False)
        except StackctlError as error:
            bench.log.append(
                Line(f"bringing {', '.join(services)} back as before failed: {error.message.splitlines()[0]}", "bad")
            )
    for repair in repairs:
        if repair.network:
            bench.session.engine.remove_network(repair.network)


def _merge(document: dict[str, Any], repair: Repair) -> None:
    for section, more in (("services", repair.services), ("networks", repair.networks)):
        if more:
            document[section] = _merged(document.get(section) or {}, more)


def _merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in more.items():
        old = out.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            out[key] = _merged(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            out[key] = (
                list(dict.fromkeys([*old, *value]))
                if all(isinstance(x, str) for x in [*old, *value])
                else [*old, *value]
            )
        else:
            out[key] = value
    return out


def _write(bench: Bench) -> None:
    files = bench.session.files
    if not any(bench.document.values()):
        files.remove(bench.path)
        return
    files.write(bench.path, (HEADER + dump(bench.document)).encode())


def _read(session: Session, path: Path) -> dict[str, Any]:
    """The repairs in force, with the tags that they were written with."""
    import yaml  # noqa: PLC0415

    data = session.files.read(path)
    if data is None:
        return {}

    class Loader(yaml.SafeLoader):
        pass

    def replaced(loader: Any, node: Any) -> Override:
        value = (
            loader.construct_sequence(node, deep=True)
            if isinstance(node, yaml.SequenceNode)
            else (
                loader.construct_mapping(node, deep=True)
                if isinstance(node, yaml.MappingNode)
                else loader.construct_scalar(node)
            )
        )
        return Override(value)

    Loader.add_constructor("!reset", lambda _loader, _node: Reset())
    Loader.add_constructor("!override", replaced)
    found = yaml.load(data, Loader=Loader)  # noqa: S506  (a safe loader with two tags of Compose)
    return found if isinstance(found, dict) else {}


def _up(bench: Bench, stage: DiagnosedProject, services: list[str], *, force: bool) -> None:
    override = str(bench.path.with_name("override.yaml"))
    files = tuple(f for f in stage.call.files if f not in (str(bench.path), override))
    if bench.session.files.read(bench.path, limit=0) is not None:
        files = (*files, str(bench.path))
    if override in stage.call.files:
        files = (*files, override)
    variables = dict(stage.prepared.variables) if stage.prepared else {}
    call = ComposeCall(
        stage.call.directory, files, stage.call.project, stage.call.env_files, stage.call.profiles, variables
    )
    arguments = ["up", "--detach", "--no-deps", "--no-build", *(["--force-recreate"] if force else []), *services]
    done = bench.session.engine.compose(call, arguments, timeout=180.0)
    if done.code:
        lines = [x for x in done.error_text.strip().splitlines() if x.strip()]
        raise ComposeFileError(lines[-1].strip() if lines else "docker compose up failed")
    _await_health(bench, stage, services)


def _await_health(bench: Bench, stage: DiagnosedProject, services: list[str]) -> None:
    """Wait until what was brought up is neither starting nor restarting; at most half a minute."""

    def settled() -> bool:
        mine = [c for c in bench.session.engine.containers(stage.scene.project.name) if c.service in services]
        return all(c.health != "starting" and c.state in ("running", "exited") for c in mine)

    until(settled, within=SETTLE, every=0.25)
