"""``stackctl diagnose``: look from inside, judge, report; nothing that is looked at changes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stackctl.commands.context.prober import Prober
from stackctl.commands.context.session import Session
from stackctl.commands.diagnosing.collect import HostLook, ask_again, first, from_gateway, second
from stackctl.commands.diagnosing.scene_reader import DiagnosedProject, set_stage, texts_of
from stackctl.diagnose import judgement, questions
from stackctl.diagnose.checks import Check, Reach
from stackctl.diagnose.findings import Finding
from stackctl.diagnose.scene import Scene
from stackctl.errors import ComposeFileError
from stackctl.waiting import until


@dataclass(frozen=True)
class Diagnosis:
    """What was found: the scene, the ladder of every URL, the findings. ``seconds`` is wall time."""

    stage: DiagnosedProject | None
    checks: tuple[Check, ...]
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
        found = judgement.refused_by_compose(error.message)
        if found is None:
            raise
        return Diagnosis(None, (), {}, (found,), time.monotonic() - begun)
    stage = replace(stage, scene=replace(stage.scene, deep=deep))
    with Prober(session.engine, images=_images(stage.scene), labels=dict(labels or {})) as prober:
        scene = _first_look(session, prober, stage)
        reaches = judgement.reaches_of(scene)
        failing = list(dict.fromkeys(c for (c, _), r in reaches.items() if not r.ok))
        stopped = [t.consumer for t in scene.settings if t.url is None]
        if failing:
            scene = from_gateway(session, prober, stage, scene)
        if failing or stopped or deep:
            scene = second(session, prober, scene, failing, look)
        else:
            wanted = questions.wants_second(scene, scene.seen, ())
            scene = ask_again(prober, scene, wanted) if wanted else scene
    scene = replace(scene, texts=texts_of(session, stage.call)) if failing or stopped else scene
    judged = judgement.judge_scene(scene, stage.meant)
    checks = tuple(check for reach in judged.reaches.values() for check in reach.checks)
    return Diagnosis(
        replace(stage, scene=scene),
        checks,
        judged.reaches,
        judged.findings,
        time.monotonic() - begun,
        scene.project.name,
    )


def _first_look(session: Session, prober: Prober, stage: DiagnosedProject) -> Scene:
    """What the consumers see; again for as long as a server of the project has only just been started."""
    looks: list[Scene] = []

    def settled() -> bool:
        looks.append(first(prober, stage))
        return not judgement.too_early(looks[-1], session.clock())

    until(settled, within=judgement.STARTING, every=0.3)
    return looks[-1]


def _images(scene: Scene) -> list[str]:
    """Images of this project that are on the engine for sure: those of its containers, Ollama's first (it has bash)."""
    servers = [c for c in scene.containers if c.service in scene.ollama_services]
    rest = [c for c in scene.containers if c.service not in scene.ollama_services]
    return list(dict.fromkeys(str(c.raw.get("Image")) for c in [*servers, *rest]))
