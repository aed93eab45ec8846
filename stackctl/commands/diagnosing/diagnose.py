"""``stackctl diagnose``: look from inside, judge, report; nothing that is looked at changes."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stackctl.commands.context.prober import Prober
from stackctl.commands.context.session import Session
from stackctl.commands.diagnosing.collect import HostLook, ask_again, first, second
from stackctl.commands.diagnosing.scene_reader import Stage, set_stage, texts_of
from stackctl.config.url import OllamaUrl
from stackctl.diagnose import questions, remedies, repairs, signs, verdict
from stackctl.diagnose.answers import Seen
from stackctl.diagnose.checks import ProbeResult, Reach, judge
from stackctl.diagnose.plan import Aim
from stackctl.diagnose.scene import Scene, Told
from stackctl.diagnose.signs.board import Board, Case
from stackctl.diagnose.verdict import Finding
from stackctl.errors import ComposeFileError, StackctlError


@dataclass(frozen=True)
class Diagnosis:
    """What was found: the scene, the ladder of every URL, the findings. ``seconds`` is wall time."""

    stage: Stage | None
    checks: tuple[ProbeResult, ...]
    reaches: Mapping[tuple[str, str], Reach]
    findings: tuple[Finding, ...]
    seconds: float = 0.0
    project: str = ""

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(f.severity == "error" for f in self.findings)


def diagnose(
    session: Session,
    look: HostLook,
    services: Sequence[str] = (),
    *,
    profile: str | None = None,
    deep: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Diagnosis:
    """Find why consumers cannot use their Ollama.

    ``look`` is the way to the engine's host, asked only where the engine is on
    this machine and something failed. Raises :class:`UsageError`,
    :class:`ConfigError`, :class:`EngineUnusable`.
    """
    begun = time.monotonic()
    try:
        stage = set_stage(session, services, profile)
    except ComposeFileError as error:
        found = _refused(error)
        if found is None:
            raise
        return Diagnosis(None, (), {}, (found,), time.monotonic() - begun)
    stage = replace(stage, scene=replace(stage.scene, deep=deep))
    with Prober(session.engine, images=_images(stage.scene), labels=dict(labels or {})) as prober:
        scene = first(prober, stage)
        reaches = _reaches(scene)
        failing = list(dict.fromkeys(c for (c, _), r in reaches.items() if not r.ok))
        stopped = [t.consumer for t in scene.told if t.url is None]
        if failing or stopped or deep:
            scene = second(session, prober, scene, failing, look)
        else:
            wanted = questions.wants_second(scene, scene.seen, ())
            scene = ask_again(prober, scene, wanted) if wanted else scene
    scene = replace(scene, texts=texts_of(session, stage.call)) if failing or stopped else scene
    findings = _judge(scene, stage, reaches)
    checks = tuple(check for reach in reaches.values() for check in reach.checks)
    return Diagnosis(
        replace(stage, scene=scene), checks, reaches, tuple(findings), time.monotonic() - begun, scene.project.name
    )


def _images(scene: Scene) -> list[str]:
    """Images of this project that are on the engine for sure: those of its containers, Ollama's first (it has bash)."""
    servers = [c for c in scene.containers if c.service in scene.ollama_services]
    rest = [c for c in scene.containers if c.service not in scene.ollama_services]
    return list(dict.fromkeys(str(c.raw.get("Image")) for c in [*servers, *rest]))


def _reaches(scene: Scene) -> dict[tuple[str, str], Reach]:
    found: dict[tuple[str, str], Reach] = {}
    for told in scene.told:
        if told.url is None or (told.consumer, told.aim) in found:
            continue
        seen = scene.seen.get(told.consumer) or Seen("none", able=False)
        found[told.consumer, told.aim] = judge(seen, Aim(told.aim, told.url), told.consumer, models=told.models)
    return found


def _judge(scene: Scene, stage: Stage, reaches: Mapping[tuple[str, str], Reach]) -> list[Finding]:
    boards: list[tuple[Told, Board]] = []
    for told in scene.told:
        board = signs.of(scene, told)
        case = Case.of(scene, told)
        page = case.further_aim("page").ask("version")
        if page is not None and b" 403 " in page.raw[:20]:
            board.note("origin.refused", "with the Origin of its page, the same request is answered 403")
        remedies.complete(board, case, _meant(stage, told))
        boards.append((told, board))
    _across(scene, boards)
    findings = [f for told, board in boards for f in verdict.of_consumer(board, told.consumer)]
    for board in signs.of_project(scene):
        findings += verdict.of_scope(board, board.words.get("scope", "server"))
    findings += _unexplained(boards, reaches, findings)
    return [_possible(f, scene) for f in verdict.fold(findings)]


def _possible(finding: Finding, scene: Scene) -> Finding:
    """A repair is promised only where this project can be repaired that way."""
    if finding.remedy.fix and repairs.plan(finding, scene) is None:
        return replace(finding, remedy=replace(finding.remedy, fix=""))
    return finding


def _meant(stage: Stage, told: Told) -> OllamaUrl | None:
    return stage.meant.get(told.consumer)


def _across(scene: Scene, boards: Sequence[tuple[Told, Board]]) -> None:
    """Signs that only several URLs together show."""
    for told, board in boards:
        brothers = [
            b for t, b in boards if t.consumer == told.consumer and t.variable == told.variable and t is not told
        ]
        alive = [b for b in brothers if "api.ok" in b.on]
        if "value.list" in told.marks and alive and "api.ok" not in board.on:
            good = [str(t.url) for t, b in boards if b in alive]
            line = next((board.seen[s] for s in ("connect.bad", "name.failed") if s in board.seen), str(told.url))
            board.note(
                "list.one_dead", f"{told.variable} lists {len(brothers) + 1} addresses; {line}", alive=";".join(good)
            )
        if "api.ok" not in board.on or told.url is None:
            continue
        consumers = {t.consumer for t in scene.told}
        for container in scene.containers:
            if container.service in consumers or container.service in scene.ollama_services:
                continue
            if signs.logs.failed_towards(scene.logs.get(container.name, ""), {told.url.host}, told.url.port):
                board.note(
                    "call.elsewhere",
                    f"the log of {container.name} holds failed calls to {told.url.host}",
                    caller=container.service,
                )


def _unexplained(
    boards: Sequence[tuple[Told, Board]],
    reaches: Mapping[tuple[str, str], Reach],
    findings: Sequence[Finding],
) -> list[Finding]:
    """A ladder that breaks without a row of the table for it is still said, under the nearest id."""
    explained = {f.consumer for f in findings if f.severity == "error"}
    whole = any(f.consumer is None and f.severity == "error" for f in findings)
    out = []
    for (consumer, aim), reach in reaches.items():
        failed = reach.failed
        if reach.ok or failed is None or failed.status != "failed" or consumer in explained or whole:
            continue
        nearest = {"name": "upstream-dns-unreachable", "tcp": "ollama-not-running", "tls": "private-ca-missing"}.get(
            failed.id, "wrong-service-answers"
        )
        board = next(b for t, b in boards if t.consumer == consumer and t.aim == aim)
        out.append(
            Finding(
                nearest,
                consumer,
                "error",
                f"{reach.reason}; what is behind it cannot be told from here",
                tuple(board.seen.values())[:6],
                verdict.Remedy(
                    "Look at what was seen, or run with --deep.",
                    ("stackctl diagnose --deep --bundle diagnosis.tar.gz",),
                ),
                50,
                words=dict(board.words),
            )
        )
    return out


_UNDEFINED = re.compile(r'service "([^"]+)" depends on undefined service "?([^": ]+)"?')


def _refused(error: StackctlError) -> Finding | None:
    """A project that Compose refuses for a service whose profile is off."""
    match = _UNDEFINED.search(error.message)
    if match is None:
        return None
    return Finding(
        "profile-disabled-service",
        None,
        "error",
        f"{match[1]} depends on {match[2]}, whose profile is off",
        (error.message,),
        verdict.Remedy("Switch the profile on.", (f"COMPOSE_PROFILES=<profile of {match[2]}> docker compose up -d",)),
    )
