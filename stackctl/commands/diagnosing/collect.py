"""The looks of ``diagnose``: from the consumers, then where something failed from servers and the host as well."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from stackctl.commands.context.prober import STORE_VARIABLES, Prober
from stackctl.commands.context.session import Session
from stackctl.commands.diagnosing.consumer_settings import behind_gateway
from stackctl.commands.diagnosing.scene_reader import DiagnosedProject
from stackctl.diagnose import questions
from stackctl.diagnose.answers import ProbeAnswers
from stackctl.diagnose.consumer_urls import is_other_service
from stackctl.diagnose.plan import ProbePlan
from stackctl.diagnose.scene import HostFacts, Scene, UrlSetting
from stackctl.diagnose.signs.board import Case
from stackctl.diagnose.standpoint import Standpoint, standpoint
from stackctl.errors import StackctlError
from stackctl.ports import Container
from stackctl.threads import together

FEW = 20
"""Certificates. A trust store with more is a system's; CAs of one's own are fewer."""
HostLook = Callable[[Sequence[str], Sequence[tuple[str, int]], Sequence[tuple[str, int]]], HostFacts]


def first(prober: Prober, stage: DiagnosedProject) -> Scene:
    """The whole ladder, from every consumer at once."""
    scene = stage.scene
    jobs = [(standpoint(scene, c), questions.first_plan(scene, c, deep=scene.deep)) for c in stage.consumers]
    seen = dict(zip(stage.consumers, prober.probe(jobs), strict=True))
    # What cannot be started in a container may fail in many words; the engine counts its processes from outside.
    bounded = [c for n in stage.consumers if seen[n].limits and (c := scene.container(n)) and c.bounds_processes]
    processes = {c.name: found for c in bounded if (found := prober.engine.processes(c.id)) is not None}
    return replace(
        scene,
        seen=seen,
        processes=processes,
        settings=tuple(t for t in scene.settings if not is_other_service(t, seen.get(t.consumer))),
    )


def from_gateway(session: Session, prober: Prober, stage: DiagnosedProject, scene: Scene) -> Scene:
    """Ask what stands behind the project's gateway from where it stands, once a consumer got no answer through it."""
    if stage.stack is None or stage.prepared is None or stage.prepared.gateway is None:
        return scene
    name = stage.prepared.gateway.part.name
    if scene.container(name) is None:
        return scene
    settings = questions.number([*scene.settings, *behind_gateway(session, stage.stack, stage.prepared)])
    scene = replace(scene, settings=tuple(settings))
    (seen,) = prober.probe([(standpoint(scene, name), questions.first_plan(scene, name))])
    return replace(scene, seen={**scene.seen, name: seen})


def second(session: Session, prober: Prober, scene: Scene, failing: Sequence[str], look: HostLook) -> Scene:
    """Look again where something failed: from the consumer, from the servers' own networks, from the host."""
    with together(2) as pool:
        info, networks = pool.submit(session.engine.info), pool.submit(session.engine.networks, None)
        scene = replace(scene, info=info.result(), networks=tuple(networks.result()))
    local = scene.info is not None and scene.info.local and not scene.info.desktop
    asked = questions.host_question(scene)
    with together(6) as pool:
        host = pool.submit(look, asked.names, asked.tries, asked.servers) if local else None
        servers = pool.submit(_servers, prober, scene)
        further = pool.submit(_further, prober, scene, questions.wants_second(scene, scene.seen, failing))
        logs = pool.submit(_missing_logs, session, scene)
        volumes = pool.submit(_volumes, session)
        present = pool.submit(_present_images, session, scene)
        scene = replace(
            scene,
            servers=servers.result(),
            further=further.result(),
            logs={**scene.logs, **logs.result()},
            volumes=tuple(volumes.result()),
            volume_owners={name: owner for name, owner in volumes.result().items() if owner},
            images=present.result()[0],
            registry=present.result()[1],
            host=host.result() if host else HostFacts(),
        )
    return _with_trust(prober, replace(scene, settings=tuple(_given_trust(prober, scene, t) for t in scene.settings)))


def _given_trust(prober: Prober, scene: Scene, setting: UrlSetting) -> UrlSetting:
    """The few CAs of its own that the container names by a variable; a whole system's store tells nothing."""
    case = Case.of(scene, setting)
    if setting.trust or case.container is None or not any(s.error == "VERIFY" for s in case.aim.shaken):
        return setting
    for path in dict.fromkeys(p for n in STORE_VARIABLES if (p := case.environment.get(n))):
        text = prober.read(case.container.id, path)
        if 0 < text.count("BEGIN CERTIFICATE") <= FEW:
            return replace(setting, trust=text)
    return setting


def _with_trust(prober: Prober, scene: Scene) -> Scene:
    """The host's trust store is known only now: ask whether the server passes with it."""
    wanted = [
        t
        for t in scene.settings
        if (t.trust or scene.host.trust)
        and any(s.error == "VERIFY" for s in Case.of(scene, t).aim.shaken)
        and not (scene.further.get(t.consumer) or ProbeAnswers("")).aims.get("trust")
    ]
    jobs: dict[str, tuple[Standpoint, ProbePlan]] = {}
    for consumer in dict.fromkeys(t.consumer for t in wanted):
        plan = questions.second_plan(scene, consumer)
        aims = tuple(a for a in plan.aims if a.id == "trust") if plan else ()
        if plan and aims:
            jobs[consumer] = (standpoint(scene, consumer), replace(plan, aims=aims, names=(), connects=()))
    found = dict(scene.further)
    for consumer, seen in zip(jobs, prober.probe(list(jobs.values())), strict=True):
        before = found.get(consumer)
        found[consumer] = replace(before, aims={**before.aims, **seen.aims}) if before else seen
    return replace(scene, further=found)


def ask_again(prober: Prober, scene: Scene, consumers: Sequence[str]) -> Scene:
    """Ask what tells look-alikes apart, of these consumers."""
    return replace(scene, further={**scene.further, **_further(prober, scene, consumers)})


def _further(prober: Prober, scene: Scene, consumers: Sequence[str]) -> dict[str, ProbeAnswers]:
    jobs, names = [], []
    for consumer in consumers:
        plan = questions.second_plan(scene, consumer)
        if plan is not None:
            jobs.append((standpoint(scene, consumer), plan))
            names.append((consumer, "own"))
        if bridge := questions.bridge_plan(scene, consumer):
            jobs.append((Standpoint(consumer, network="bridge"), bridge))
            names.append((consumer, "bridge"))
    found: dict[str, ProbeAnswers] = {}
    for (consumer, _), seen in zip(names, prober.probe(jobs), strict=True):
        before = found.get(consumer)
        found[consumer] = seen if before is None else replace(before, aims={**before.aims, **seen.aims})
    return found


def _servers(prober: Prober, scene: Scene) -> dict[str, ProbeAnswers]:
    """Listening sockets and disk of the containers that URLs mean, from inside their own networks."""
    targets: dict[str, Container] = {}
    for setting in scene.settings:
        target = Case.of(scene, setting).target
        if target is not None and target.state == "running" and target.network_mode != "host":
            targets[target.name] = target
    for name in scene.ollama_services:
        container = scene.container(name)
        if container is not None and container.state == "running":
            targets[container.name] = container
    seen = prober.probe([(Standpoint(n, c.id), questions.store_plan(c)) for n, c in targets.items()])
    return dict(zip(targets, seen, strict=True))


def _missing_logs(session: Session, scene: Scene) -> dict[str, str]:
    """Logs of targets that are not of this project."""
    mine = {c.name for c in scene.containers}
    names = {
        t.name for setting in scene.settings if (t := Case.of(scene, setting).target) is not None and t.name not in mine
    }
    return {name: session.engine.logs(name, tail=80)[-100_000:] for name in names}


def _volumes(session: Session) -> dict[str, str]:
    """Every volume of the engine, and the Compose project on its label."""
    form = '{{.Name}}\t{{.Label "com.docker.compose.project"}}'
    rows = session.engine.cli(["volume", "ls", "--format", form]).text.splitlines()
    return {name: owner for name, _, owner in (row.strip().partition("\t") for row in rows) if name}


_NO_REGISTRY = re.compile(
    r"dial tcp|no such host|i/o timeout|connection refused|network is unreachable"
    r"|proxyconnect|TLS handshake|context deadline"
)


def _present_images(session: Session, scene: Scene) -> tuple[dict[str, bool], dict[str, str]]:
    """Which images are here; and for those that are not, what their registry says where it does not answer."""
    wanted = sorted(
        {
            s.image
            for s in scene.project
            if s.image and s.name in scene.project.active and scene.container(s.name) is None and not s.raw.get("build")
        }
    )
    present = {image: session.engine.image(image) is not None for image in wanted}
    said: dict[str, str] = {}
    for image in [i for i, there in present.items() if not there][:2]:
        try:
            done = session.engine.cli(["manifest", "inspect", image], timeout=5.0)
        except StackctlError as error:
            said[image] = error.message[-200:]
            continue
        text = " ".join(done.error_text.split())[-200:]
        if done.timed_out or (done.code and _NO_REGISTRY.search(text)):
            said[image] = text or "no answer in 5 s"
    return present, said
