"""``stackctl diagnose``: look from inside, judge, report; nothing that is looked at changes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from stackctl.commands.probing import Prober, Standpoint
from stackctl.commands.session import Session
from stackctl.commands.staging import Stage, set_stage, texts_of
from stackctl.config.url import OllamaUrl
from stackctl.diagnose import questions, remedies, signs, verdict
from stackctl.diagnose.answers import AimSeen, Seen
from stackctl.diagnose.checks import ProbeResult, Reach, judge
from stackctl.diagnose.plan import Aim, ProbePlan
from stackctl.diagnose.scene import HostSeen, Scene, Told
from stackctl.diagnose.signs.board import Board, Case
from stackctl.diagnose.verdict import Finding
from stackctl.errors import ComposeFileError, StackctlError
from stackctl.ports import Container

HostLook = Callable[[Sequence[str], Sequence[tuple[str, int]]], HostSeen]


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
        scene = _first(prober, stage)
        reaches = _reaches(scene)
        failing = list(dict.fromkeys(c for (c, _), r in reaches.items() if not r.ok))
        stopped = [t.consumer for t in scene.told if t.url is None]
        if failing or stopped or deep:
            scene = _second(session, prober, scene, failing, look)
        else:
            wanted = questions.wants_second(scene, scene.seen, ())
            scene = _ask_again(prober, scene, wanted) if wanted else scene
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


def standpoint(scene: Scene, consumer: str) -> Standpoint:
    """Where a consumer is: in its running container, else in the network that it would join."""
    container = scene.container(consumer)
    service = scene.project.services.get(consumer)
    case = Case(scene, Told(consumer, "", "", None), container, service, None, AimSeen(), None)
    hosts = tuple(f"{name}:{address}" for name, address in case.extra_hosts.items())
    if container is not None and container.state in ("running", "paused"):
        return Standpoint(
            consumer, container.id, fresh=container.state == "paused", image=str(container.raw.get("Image"))
        )
    if case.network_mode in ("host", "none"):
        return Standpoint(consumer, network=case.network_mode)
    if case.network_mode.startswith(("container:", "service:")):
        owner = scene.by_id(case.network_mode.partition(":")[2]) or scene.container(case.network_mode.partition(":")[2])
        running = owner is not None and owner.state == "running"
        return Standpoint(consumer, network=f"container:{owner.id}" if owner and running else "")
    there = {str(n.get("Name")): n for n in scene.networks}
    wanted = list(container.networks) if container else []
    if service is not None:
        wanted += [
            str((scene.project.networks.get(k) or {}).get("name") or f"{scene.project.name}_{k}")
            for k in service.networks
        ]
    open_first = sorted((n for n in dict.fromkeys(wanted) if n in there), key=lambda n: bool(there[n].get("Internal")))
    network = open_first[0] if open_first else ""
    told = [t.url.host for t in scene.told if t.consumer == consumer and t.url]
    if not network and "bridge" in there and not any(h in scene.project.services for h in told):
        # Its network is yet to be made; what lies outside Docker is reached from the default bridge the same way.
        network = "bridge"
    return Standpoint(consumer, network=network, extra_hosts=hosts)


def _first(prober: Prober, stage: Stage) -> Scene:
    scene = stage.scene
    jobs = [(standpoint(scene, c), questions.first_plan(scene, c, deep=scene.deep)) for c in stage.consumers]
    seen = prober.probe(jobs)
    return replace(scene, seen=dict(zip(stage.consumers, seen, strict=True)))


def _reaches(scene: Scene) -> dict[tuple[str, str], Reach]:
    found: dict[tuple[str, str], Reach] = {}
    for told in scene.told:
        if told.url is None or (told.consumer, told.aim) in found:
            continue
        seen = scene.seen.get(told.consumer) or Seen("none", able=False)
        found[told.consumer, told.aim] = judge(seen, Aim(told.aim, told.url), told.consumer, models=told.models)
    return found


def _second(session: Session, prober: Prober, scene: Scene, failing: Sequence[str], look: HostLook) -> Scene:
    """Look again where something failed: from the consumer, from the servers' own networks, from the host."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        info, networks = pool.submit(session.engine.info), pool.submit(session.engine.networks, None)
        scene = replace(scene, info=info.result(), networks=tuple(networks.result()))
    local = scene.info is not None and scene.info.local and not scene.info.desktop
    asked = questions.host_question(scene)
    with ThreadPoolExecutor(max_workers=6) as pool:
        host = pool.submit(look, asked.names, asked.tries) if local else None
        servers = pool.submit(_servers, prober, scene)
        further = pool.submit(_further, prober, scene, questions.wants_second(scene, scene.seen, failing))
        logs = pool.submit(_missing_logs, session, scene)
        volumes = pool.submit(session.engine.cli, ["volume", "ls", "--quiet"])
        present = pool.submit(_present_images, session, scene)
        scene = replace(
            scene,
            servers=servers.result(),
            further=further.result(),
            logs={**scene.logs, **logs.result()},
            volumes=tuple(volumes.result().text.split()),
            images=present.result()[0],
            registry=present.result()[1],
            host=host.result() if host else HostSeen(),
        )
    return _with_trust(prober, scene)


def _with_trust(prober: Prober, scene: Scene) -> Scene:
    """The host's trust store is known only now: ask whether the server passes with it."""
    wanted = [
        t
        for t in scene.told
        if (t.trust or scene.host.trust)
        and any(s.error == "VERIFY" for s in Case.of(scene, t).aim.shaken)
        and not (scene.further.get(t.consumer) or Seen("")).aims.get("trust")
    ]
    if not wanted:
        return scene
    return _ask_again(prober, scene, list(dict.fromkeys(t.consumer for t in wanted)))


def _ask_again(prober: Prober, scene: Scene, consumers: Sequence[str]) -> Scene:
    return replace(scene, further={**scene.further, **_further(prober, scene, consumers)})


def _further(prober: Prober, scene: Scene, consumers: Sequence[str]) -> dict[str, Seen]:
    jobs, names = [], []
    for consumer in consumers:
        plan = questions.second_plan(scene, consumer)
        if plan is not None:
            jobs.append((standpoint(scene, consumer), plan))
            names.append((consumer, "own"))
        if bridge := _bridge_plan(scene, consumer):
            jobs.append((Standpoint(consumer, network="bridge"), bridge))
            names.append((consumer, "bridge"))
    found: dict[str, Seen] = {}
    for (consumer, _), seen in zip(names, prober.probe(jobs), strict=True):
        before = found.get(consumer)
        found[consumer] = seen if before is None else replace(before, aims={**before.aims, **seen.aims})
    return found


def _bridge_plan(scene: Scene, consumer: str) -> ProbePlan | None:
    """The same host address from Docker's default bridge, where the consumer's own network is dropped."""
    for told in scene.told:
        if told.consumer != consumer or told.url is None:
            continue
        tried = Case.of(scene, told).tried
        if tried is not None and tried.error == "TIMEOUT" and tried.address in scene.gateways():
            aim = Aim("bridge", told.url, addresses=(tried.address,))
            return ProbePlan((aim,), facts=False, budget=questions.FOLLOW_BUDGET)
    return None


def _servers(prober: Prober, scene: Scene) -> dict[str, Seen]:
    """Listening sockets and disk of the containers that URLs mean, from inside their own networks."""
    targets: dict[str, Container] = {}
    for told in scene.told:
        target = Case.of(scene, told).target
        if target is not None and target.state == "running" and target.network_mode != "host":
            targets[target.name] = target
    for name in scene.ollama_services:
        container = scene.container(name)
        if container is not None and container.state == "running":
            targets[container.name] = container
    plan = ProbePlan((), paths=("/root/.ollama",), budget=3.0)
    seen = prober.probe([(Standpoint(n, c.id), plan) for n, c in targets.items()])
    return dict(zip(targets, seen, strict=True))


def _missing_logs(session: Session, scene: Scene) -> dict[str, str]:
    """Logs of targets that are not of this project."""
    mine = {c.name for c in scene.containers}
    names = {t.name for told in scene.told if (t := Case.of(scene, told).target) is not None and t.name not in mine}
    return {name: session.engine.logs(name, tail=80)[-100_000:] for name in names}


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


def _judge(scene: Scene, stage: Stage, reaches: Mapping[tuple[str, str], Reach]) -> list[Finding]:
    boards: list[tuple[Told, Board]] = []
    for told in scene.told:
        board = signs.of(scene, told)
        case = Case.of(scene, told)
        page = case.further_aim("page").ask("version")
        if page is not None and b" 403 " in page.raw[:20]:
            board.note("origin.refused", "with the Origin of its page, the same request is answered 403")
        if case.seen and case.seen.tool.startswith("node"):
            board.note("exec.node")
        remedies.complete(board, case, _meant(stage, told))
        boards.append((told, board))
    _across(scene, boards)
    findings = [f for told, board in boards for f in verdict.of_consumer(board, told.consumer)]
    for board in signs.of_project(scene):
        findings += verdict.of_scope(board, board.words.get("scope", "server"))
    findings += _unexplained(boards, reaches, findings)
    return verdict.fold(findings)


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
            if signs.logs.failed_towards(scene.logs.get(container.name, ""), told.url.host, told.url.port):
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
