"""The judgement: from everything that was observed to the findings. Pure, so that a saved scene can be judged again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stackctl.config.url import OllamaUrl
from stackctl.diagnose import findings as finding_rules
from stackctl.diagnose import remedies, repair_makers, signs
from stackctl.diagnose.answers import ProbeAnswers
from stackctl.diagnose.checks import Reach, judge
from stackctl.diagnose.findings import Finding, Remedy
from stackctl.diagnose.plan import Aim
from stackctl.diagnose.scene import Scene, UrlSetting
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import Board, Case
from stackctl.diagnose.signs.life import seconds_of

STARTING = 5.0
"""Seconds after its start in which a server that refuses connections is not judged yet."""


@dataclass(frozen=True)
class Judgement:
    """``reaches`` is the ladder of every URL, by consumer and aim; ``findings`` come in the order to mend them."""

    reaches: Mapping[tuple[str, str], Reach]
    findings: tuple[Finding, ...]


def judge_scene(scene: Scene, meant: Mapping[str, OllamaUrl]) -> Judgement:
    """Judge what was observed; ``meant`` is the URL that the configuration would tell each consumer."""
    reaches = reaches_of(scene)
    return Judgement(reaches, tuple(_findings(scene, meant, reaches)))


def reaches_of(scene: Scene) -> dict[tuple[str, str], Reach]:
    """How far each consumer comes towards each URL that it is told."""
    found: dict[tuple[str, str], Reach] = {}
    for setting in scene.settings:
        if setting.url is None or (setting.consumer, setting.aim) in found:
            continue
        seen = scene.seen.get(setting.consumer) or ProbeAnswers("none", able=False)
        found[setting.consumer, setting.aim] = judge(
            seen, Aim(setting.aim, setting.url), setting.consumer, models=setting.models
        )
    return found


def too_early(scene: Scene, now: float) -> bool:
    """Whether a connection was refused while a server of the project had only just been started.

    A server that runs needs a moment until it listens; a refusal within it says nothing. ``now`` is the engine's
    time in seconds since the epoch, as :attr:`Scene.now`.
    """
    refused = any(r.failed and r.failed.observed.get("errno") == "ECONNREFUSED" for r in reaches_of(scene).values())
    servers = [c for c in scene.containers if c.service in scene.ollama_services and c.state == "running"]
    starts = [since for c in servers if (since := seconds_of(c.started_at)) is not None]
    return refused and any(0 <= now - since < STARTING for since in starts)


def _findings(scene: Scene, meant: Mapping[str, OllamaUrl], reaches: Mapping[tuple[str, str], Reach]) -> list[Finding]:
    boards: list[tuple[UrlSetting, Board]] = []
    for setting in scene.settings:
        board = signs.of(scene, setting)
        case = Case.of(scene, setting)
        page = case.further_aim("page").ask("version")
        if page is not None and b" 403 " in page.raw[:20]:
            board.note(Sign.ORIGIN_REFUSED, "with the Origin of its page, the same request is answered 403")
        remedies.complete(board, case, meant.get(setting.consumer))
        boards.append((setting, board))
    _across(scene, boards)
    findings = [f for setting, board in boards for f in finding_rules.of_consumer(board, setting.consumer)]
    for board in signs.of_project(scene):
        findings += finding_rules.of_service(board)
    findings += _unexplained(boards, reaches, findings)
    findings = _through_gateway(boards, findings)
    return [_whose(_possible(f, scene), scene) for f in finding_rules.fold(findings)]


def _through_gateway(boards: Sequence[tuple[UrlSetting, Board]], findings: Sequence[Finding]) -> list[Finding]:
    """What the gateway meets is the cause of its consumers' trouble, and no trouble of a service of the user's."""
    gateways = {setting.consumer for setting, _ in boards if setting.source == "gateway"}
    met = [f for f in finding_rules.fold(findings) if f.consumer in gateways and f.severity == "error"]
    behind = {t.consumer: board for t, board in boards if Sign.GATEWAY_OURS in board.on}
    out = [f for f in findings if f.consumer not in gateways]
    if not met:
        return out
    out = [f for f in out if not (f.consumer in behind and f.cause == "proxy-upstream-down-502")]
    fixless = replace(met[0].remedy, fix="")
    return [
        *out,
        *(
            replace(
                met[0],
                consumer=consumer,
                summary=f"{board.words['upstream']} cannot be reached behind the gateway: {met[0].summary}",
                evidence=(board.seen.get(Sign.GATEWAY_OURS, ""), *met[0].evidence),
                remedy=fixless,
            )
            for consumer, board in behind.items()
        ),
    ]


def _whose(finding: Finding, scene: Scene) -> Finding:
    """Say whose a container is that a remedy names and that is none of this project's."""
    words = finding.words
    meant = f"{words.get('target_container')}, {words.get('other')}, {words.get('rival')}, {words.get('rivals')}"
    said = " ".join((finding.summary, finding.remedy.summary, *finding.remedy.commands))
    owners = []
    for container in scene.others:
        if any(name in meant.split(", ") and name in said for name in (container.name, container.id[:12]) if name):
            project = container.labels.get("com.docker.compose.project")
            whose = f"of the project {project}" if project else "of no Compose project"
            owners.append(f"{container.name} is a container {whose}")
    if not owners:
        return finding
    remedy = replace(finding.remedy, summary=f"{finding.remedy.summary} ({'; '.join(owners)}.)")
    return replace(finding, remedy=remedy)


def _possible(finding: Finding, scene: Scene) -> Finding:
    """A repair is promised only where this project can be repaired that way."""
    if finding.remedy.fix and repair_makers.plan(finding, scene) is None:
        return replace(finding, remedy=replace(finding.remedy, fix=""))
    return finding


def _across(scene: Scene, boards: Sequence[tuple[UrlSetting, Board]]) -> None:
    """Signs that only several URLs together show."""
    for setting, board in boards:
        brothers = [
            b
            for t, b in boards
            if t.consumer == setting.consumer and t.variable == setting.variable and t is not setting
        ]
        alive = [b for b in brothers if Sign.API_OK in b.on]
        if Sign.VALUE_LIST in setting.marks and alive and Sign.API_OK not in board.on:
            good = [str(t.url) for t, b in boards if b in alive]
            line = board.seen.get(Sign.CONNECT_BAD) or board.seen.get(Sign.NAME_FAILED) or str(setting.url)
            board.note(
                Sign.LIST_ONE_DEAD,
                f"{setting.variable} lists {len(brothers) + 1} addresses; {line}",
                alive=";".join(good),
            )
        if Sign.API_OK not in board.on or setting.url is None:
            continue
        consumers = {t.consumer for t in scene.settings}
        for container in scene.containers:
            if container.service in consumers or container.service in scene.ollama_services:
                continue
            if signs.logs.failed_towards(scene.logs.get(container.name, ""), {setting.url.host}, setting.url.port):
                board.note(
                    Sign.CALL_ELSEWHERE,
                    f"the log of {container.name} holds failed calls to {setting.url.host}",
                    caller=container.service,
                )


def _unexplained(
    boards: Sequence[tuple[UrlSetting, Board]],
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
                (*board.seen.values(), *board.remarks)[:6],
                Remedy(
                    "Look at what was seen, or run with --deep.",
                    ("stackctl diagnose --deep --bundle diagnosis.tar.gz",),
                ),
                50,
                words={**board.words},
            )
        )
    return out


_UNDEFINED = re.compile(r'service "([^"]+)" depends on undefined service "?([^": ]+)"?')


def refused_by_compose(message: str) -> Finding | None:
    """What is wrong with a project that Compose refuses, by its words: a service whose profile is off."""
    match = _UNDEFINED.search(message)
    if match is None:
        return None
    return Finding(
        "profile-disabled-service",
        None,
        "error",
        f"{match[1]} depends on {match[2]}, whose profile is off",
        (message,),
        Remedy("Switch the profile on.", (f"COMPOSE_PROFILES=<profile of {match[2]}> docker compose up -d",)),
    )
