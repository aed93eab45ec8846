"""Ask each consumer, from inside, which Ollama it reaches: as its own client would ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stackctl.commands.context.prober import Prober
from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile import own_check
from stackctl.commands.reconcile.prepare import Prepared, pinned_addresses
from stackctl.commands.reconcile.request_settings import RequestSettings, request_settings_of
from stackctl.commands.reconcile.stand import standpoint_of
from stackctl.commands.reconcile.told_address import addresses_told, name_of, told_url, values_told
from stackctl.config.models import StackConfig
from stackctl.config.target import Target, resolve
from stackctl.config.url import OllamaUrl
from stackctl.diagnose.answers import ProbeAnswers
from stackctl.diagnose.checks import Check, Reach, judge
from stackctl.diagnose.client import client_aims
from stackctl.diagnose.plan import Aim, ProbePlan, generate, ladder
from stackctl.diagnose.scene import UrlSetting
from stackctl.diagnose.standpoint import Standpoint
from stackctl.errors import StackctlError
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.sockets import established

PRESENT_AIM = "present"
DEEP_SECONDS = 60.0
_CONNECTIONS = ("/proc/net/tcp", "/proc/net/tcp6")


@dataclass(frozen=True)
class Verified:
    """One consumer's answer: ``reach`` as its container sees the address, ``own`` as its own check says."""

    consumer: str
    url: OllamaUrl
    reach: Reach
    own: str | None = None
    """Why the consumer's own ``verify`` failed, or None."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Full model name to digest, as the target lists them; filled by :func:`probe_target`."""
    present: Mapping[str, str] = field(default_factory=dict)
    """The same of the Ollama that the consumer uses until now."""
    container: str = ""
    """Which of several containers answered so."""
    connections: frozenset[tuple[str, int]] = frozenset()
    """What its network namespace was connected to before anything was asked: addresses and ports."""
    asked_at: frozenset[tuple[str, int]] = frozenset()
    """Where the questions went: what it is told, as addresses and ports."""

    @property
    def ok(self) -> bool:
        """Whether the consumer can use its Ollama."""
        return self.reach.ok and self.own is None

    @property
    def reason(self) -> str:
        """One line where it cannot."""
        reason = self.own or self.reach.reason
        return f"{reason} ({self.container})" if self.container else reason


def containers_of(config: StackConfig, containers: Sequence[Container]) -> dict[str, tuple[Container, ...]]:
    """The running containers of each consumer that has one: its replicas."""
    found: dict[str, tuple[Container, ...]] = {}
    for container in containers:
        if container.service in config.consumers and container.state == "running":
            found[container.service] = (*found.get(container.service, ()), container)
    return found


def verify(
    session: Session,
    stack: Stack,
    told: Mapping[str, OllamaUrl],
    settings: RequestSettings,
    containers: Mapping[str, Sequence[Container]],
    *,
    images: Sequence[str] = (),
) -> list[Verified]:
    """Ask in every running container of every consumer; one process a container, all at once.

    Each is asked what its app's own client would ask, with the values that stand in its environment.
    """
    asked = [(name, container) for name in told for container in containers.get(name, ())]
    questions: list[Questions] = []
    jobs: list[tuple[Standpoint, ProbePlan]] = []
    for name, container in asked:
        values = addresses_told(name, stack.config.consumers[name], container.environment, container.arguments)
        question = Questions.of(name, told[name], values, container.environment, settings)
        questions.append(question)
        own = own_http(stack.config, name)
        aims = (*question.aims, own_check.aim(own)) if own else question.aims
        image = str(container.raw.get("Image") or "")
        jobs.append((Standpoint(name, container.id, image=image), ProbePlan(aims)))
    with Prober(session.engine, images=images) as prober:
        seen = prober.probe(jobs)
    found: dict[str, Verified] = {}
    for (name, container), question, view in zip(asked, questions, seen, strict=True):
        url, reach = question.judged(view, settings.models)
        answer = Verified(
            name,
            url,
            reach,
            _own_reason(session, stack.config, name, view, container),
            connections=frozenset(peer for table in _CONNECTIONS for peer in established(view.files.get(table, ""))),
            asked_at=frozenset((c.address, c.port) for a in view.aims.values() for c in a.connected),
        )
        if len(containers[name]) > 1:
            answer = replace(answer, container=container.name)
        if name not in found or (found[name].ok and not answer.ok):
            found[name] = answer
    return list(found.values())


@dataclass(frozen=True)
class Questions:
    """What one app's client would ask: an aim for each server that it is told, and values that name none."""

    consumer: str
    aims: tuple[Aim, ...]
    unreadable: tuple[UrlSetting, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        name: str,
        url: OllamaUrl,
        values: Sequence[UrlSetting],
        environment: Mapping[str, str],
        settings: RequestSettings,
        *,
        addresses: Mapping[str, Sequence[str]] | None = None,
    ) -> Questions:
        """The questions for ``values``; for ``url`` itself where the app is told by no value of ours."""
        aims = client_aims(
            values or [UrlSetting(name, "", str(url), url)],
            environment,
            models=settings.models,
            paths=settings.paths,
            addresses=addresses,
            check_certificate=settings.check_certificate,
        )
        return cls(name, tuple(aims), tuple(v for v in values if v.url is None), environment)

    def judged(self, seen: ProbeAnswers, models: Sequence[str]) -> tuple[OllamaUrl, Reach]:
        """How far the client comes with the worst of its addresses."""
        reaches = [(aim.url, judge(seen, aim, self.consumer, models=models)) for aim in self.aims]
        for one in self.unreadable:
            row = Check("value", self.consumer, one.variable, seen.vantage, "failed", observed={"name": one.variable})
            reaches.append((OllamaUrl("http", "", 0), Reach(ok=False, checks=(row,))))
        return next(((url, reach) for url, reach in reaches if not reach.ok), reaches[0])


def own_http(config: StackConfig, name: str) -> str:
    """The URL of a consumer's own check, empty where it has none by HTTP."""
    own = config.consumers[name].verify
    return own.http or "" if own else ""


def _own_reason(
    session: Session, config: StackConfig, name: str, seen: ProbeAnswers, container: Container
) -> str | None:
    own = config.consumers[name].verify
    if own is None:
        return None
    if own.exec:
        done = session.engine.exec(container.id, own.exec, timeout=60.0)
        if done.code == 0:
            return None
        said = (done.error_text or done.text).strip().splitlines()
        return f"its own check ended with code {done.code}{': ' + said[-1] if said else ''}"
    return own_check.failure(own.http or "", seen)


def probe_target(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    prepared: Prepared,
    told: Mapping[str, OllamaUrl],
    settings: RequestSettings,
    containers: Mapping[str, Sequence[Container]],
    *,
    deep: bool = False,
) -> list[Verified]:
    """Try the target from where each consumer is, or will be, with what it will be told, before anything is touched.

    ``deep`` asks the first model for one token. A consumer that runs is asked
    for its present Ollama's models too, so that their digests can be compared.
    """
    shared = stack.config.network.shared
    target, addresses = prepared.target, pinned_addresses(session, prepared.target)
    token = settings.headers.get("Authorization", "").removeprefix("Bearer ") if target.token else ""
    asked: list[Questions] = []
    jobs: list[tuple[Standpoint, ProbePlan]] = []
    for name, url in told.items():
        consumer, container = stack.config.consumers[name], next(iter(containers.get(name, ())), None)
        variables, arguments = values_told(consumer, url, model=target.model or "", token=token)
        environment = _environment_to_be(prepared, project, name, container) | variables
        values = addresses_told(name, consumer, environment, arguments)
        questions = Questions.of(name, url, values, environment, settings, addresses=addresses)
        aims = questions.aims
        if deep and settings.models:
            headers = aims[0].asks[0].headers
            aims = (generate(aims[0], settings.models[0], seconds=DEEP_SECONDS, headers=headers), *aims[1:])
        budget = DEEP_SECONDS + 10 if deep else ProbePlan(()).budget
        where = standpoint_of(session, project, name, container, shared, environment)
        asked.append(questions)
        jobs.append((where, ProbePlan((*aims, *_present(session, stack, name, url, container)), budget=budget)))

    def answer(questions: Questions, plan: ProbePlan, seen: ProbeAnswers) -> Verified:
        url, reach = questions.judged(seen, settings.models)
        no_token = _no_token(seen, plan.aims[0]) if deep and settings.models else None
        digests = _digests(seen, plan.aims[0].id), _digests(seen, PRESENT_AIM)
        return Verified(questions.consumer, url, reach, no_token, *digests)

    with Prober(session.engine, images=[s.image for s in project if s.image]) as prober:
        seen = prober.probe(jobs)
        found = [answer(q, plan, view) for q, (_, plan), view in zip(asked, jobs, seen, strict=True)]
        # A container may be older than its files, which give the next one the hosts or the trust that this one lacks.
        again = [i for i, one in enumerate(found) if jobs[i][0].container and not (one.ok or lacks_models_only([one]))]
        later = [
            (standpoint_of(session, project, asked[i].consumer, None, shared, asked[i].environment), jobs[i][1])
            for i in again
        ]
        for i, view in zip(again, prober.probe(later), strict=True):
            other = answer(asked[i], jobs[i][1], view)
            found[i] = other if other.ok else found[i]
    return found


def probe_member(
    session: Session,
    stack: Stack,
    project: ComposeProject,
    member: Target,
    settings: RequestSettings,
    gateway: Container | None,
) -> Verified:
    """Try a server behind the gateway as the gateway asks it: from its container, else from the default bridge."""
    aim = ladder(
        member.url,
        headers=settings.headers,
        models=settings.models,
        addresses=pinned_addresses(session, member).get(member.url.host, ()),
        trust=settings.trust,
        server_name=settings.server_name,
        verify=settings.check_certificate,
        paths=settings.paths,
    )
    name = next(iter(stack.config.told))
    where = Standpoint(name, gateway.id) if gateway is not None else Standpoint(name, network="bridge")
    with Prober(session.engine, images=[s.image for s in project if s.image]) as prober:
        (seen,) = prober.probe([(where, ProbePlan((aim,)))])
    return Verified(name, member.url, judge(seen, aim, name, models=settings.models))


def _environment_to_be(
    prepared: Prepared, project: ComposeProject, name: str, container: Container | None
) -> dict[str, str]:
    """The variables that a consumer will have: those of its image as they are, those of its service as they will be."""
    present = container.environment if container else dict(prepared.client_proxies)
    service = {k: v.replace("$$", "$") for k, v in project.services[name].environment.items() if v is not None}
    return {**present, **service, **prepared.override.direct.get(name, {})}


def lacks_models_only(bad: Sequence[Verified]) -> bool:
    """Whether every one of these fails for a model that is not there, and for nothing else."""
    return all(answer.reach.failed is not None and answer.reach.failed.id == "model" for answer in bad)


def verify_message(bad: Sequence[Verified], absent: Sequence[str] = ()) -> str:
    """What failed, a consumer a line."""
    lines = [f"{answer.consumer} does not reach {answer.url}: {answer.reason}" for answer in bad]
    lines += [f"{name} has no running container" for name in absent]
    return "\n".join(lines)


def _present(session: Session, stack: Stack, name: str, url: OllamaUrl, container: Container | None) -> list[Aim]:
    """One question to the Ollama that a running consumer is told until now: its models."""
    now = told_url(stack.config.consumers[name], container.environment) if container else None
    if now is None or now == url:
        return []
    try:
        settings = request_settings_of(session, stack, resolve(stack.config, name_of(stack.config, now)))
    except StackctlError:
        settings = RequestSettings()
    environment = container.environment if container else {}
    values = addresses_told(name, stack.config.consumers[name], environment)
    aims = client_aims(values, environment, paths=settings.paths, check_certificate=settings.check_certificate)
    return [replace(aim, id=PRESENT_AIM) for aim in aims[:1]]


def _digests(seen: ProbeAnswers, aim: str) -> dict[str, str]:
    from stackctl.diagnose import http_reply as reply  # noqa: PLC0415

    found = seen.aims.get(aim)
    answer = found.ask("tags") if found else None
    document = reply.read(answer.raw).json if answer else None
    models = document.get("models") if isinstance(document, dict) else None
    return {
        reply.full_name(str(m.get("name"))): str(m.get("digest"))
        for m in (models if isinstance(models, list) else [])
        if isinstance(m, dict) and m.get("digest")
    }


def _no_token(seen: ProbeAnswers, aim: Aim) -> str | None:
    """Why the model gave no token, or None."""
    from stackctl.diagnose import http_reply as reply  # noqa: PLC0415

    found = seen.aims.get(aim.id)
    answer = found.ask("generate") if found else None
    if answer is None:
        return None
    got = reply.read(answer.raw)
    if got.status == 200 and b'"response"' in got.body:
        return None
    last = got.text.strip().splitlines()
    return f"the model gave no token: {got.error or (last[-1][:200] if last else answer.end)}"
