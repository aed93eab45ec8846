"""Ask each consumer, from inside, which Ollama it reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stackctl.commands.context.prober import Prober
from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile import own_check
from stackctl.commands.reconcile.prepare import pinned_addresses
from stackctl.commands.reconcile.request_settings import RequestSettings, request_settings_of
from stackctl.commands.reconcile.told_address import name_of, told_url
from stackctl.config.models import StackConfig
from stackctl.config.target import Target, resolve
from stackctl.config.url import OllamaUrl
from stackctl.diagnose.answers import ProbeAnswers
from stackctl.diagnose.checks import Reach, judge
from stackctl.diagnose.plan import Aim, Ask, ProbePlan, generate, ladder
from stackctl.diagnose.standpoint import Standpoint
from stackctl.errors import StackctlError
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject

PRESENT_AIM = "present"
DEEP_SECONDS = 60.0


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

    @property
    def ok(self) -> bool:
        """Whether the consumer can use its Ollama."""
        return self.reach.ok and self.own is None

    @property
    def reason(self) -> str:
        """One line where it cannot."""
        return self.own or self.reach.reason


def aim_at(url: OllamaUrl, settings: RequestSettings, *, addresses: Sequence[str] = ()) -> Aim:
    """The ladder for one URL."""
    return ladder(
        url,
        headers=settings.headers,
        models=settings.models,
        addresses=addresses,
        trust=settings.trust,
        server_name=settings.server_name,
        verify=settings.check_certificate,
        paths=settings.paths,
    )


def containers_of(config: StackConfig, containers: Sequence[Container]) -> dict[str, Container]:
    """The running container of each consumer that has one."""
    found: dict[str, Container] = {}
    for container in containers:
        if container.service in config.consumers and container.state == "running":
            found.setdefault(container.service, container)
    return found


def verify(
    session: Session,
    stack: Stack,
    told: Mapping[str, OllamaUrl],
    settings: RequestSettings,
    containers: Mapping[str, Container],
    *,
    images: Sequence[str] = (),
) -> list[Verified]:
    """Ask every consumer that has a running container; one process a consumer, all at once."""
    jobs: list[tuple[Standpoint, ProbePlan]] = []
    names = [name for name in told if name in containers]
    for name in names:
        aims = [aim_at(told[name], settings)]
        if own := own_http(stack.config, name):
            aims.append(own_check.aim(own))
        container = containers[name]
        jobs.append(
            (
                Standpoint(name, container.id, image=str(container.raw.get("Image") or "")),
                ProbePlan(tuple(aims)),
            )
        )
    with Prober(session.engine, images=images) as prober:
        seen = prober.probe(jobs)
    results = []
    for name, (_, plan), view in zip(names, jobs, seen, strict=True):
        reach = judge(view, plan.aims[0], name, models=settings.models)
        own_reason = _own_reason(session, stack.config, name, view, containers[name])
        results.append(Verified(name, told[name], reach, own_reason))
    return results


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
    target: Target,
    told: Mapping[str, OllamaUrl],
    settings: RequestSettings,
    containers: Mapping[str, Container],
    *,
    deep: bool = False,
    anywhere: bool = False,
) -> list[Verified]:
    """Try the target from where each consumer is, or will be, before anything is touched.

    ``anywhere``: where nothing runs yet, the consumer's own network does not matter.
    ``deep`` asks the first model for one token. A consumer that runs is asked
    for its present Ollama's models too, so that their digests can be compared.
    """
    addresses = pinned_addresses(session, target)
    jobs: list[tuple[Standpoint, ProbePlan]] = []
    for name, url in told.items():
        aim = aim_at(url, settings, addresses=addresses.get(url.host, ()))
        if deep and settings.models:
            aim = generate(aim, settings.models[0], seconds=DEEP_SECONDS, headers=settings.headers)
        aims = [aim, *_present(session, stack, name, url, containers.get(name))]
        budget = DEEP_SECONDS + 10 if deep else ProbePlan(()).budget
        stand = containers.get(name)
        shared = stack.config.network.shared
        where = _bridge(name) if anywhere and stand is None else _standpoint(session, project, name, stand, shared)
        jobs.append((where, ProbePlan(tuple(aims), budget=budget)))
    with Prober(session.engine, images=[s.image for s in project if s.image]) as prober:
        seen = prober.probe(jobs)
    return [
        Verified(
            name,
            told[name],
            judge(view, plan.aims[0], name, models=settings.models),
            _no_token(view, plan.aims[0]) if deep and settings.models else None,
            _digests(view, plan.aims[0].id),
            _digests(view, PRESENT_AIM),
        )
        for name, (_, plan), view in zip(told, jobs, seen, strict=True)
    ]


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
    path = now.prefix + settings.paths.get("list_models", "/api/tags")
    ask = Ask("tags", "GET", path, settings.headers, limit=1_048_576)
    return [
        Aim(
            PRESENT_AIM,
            now,
            (ask,),
            verify=settings.check_certificate,
            trust=settings.trust,
            server_name=settings.server_name,
        )
    ]


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


def _standpoint(
    session: Session, project: ComposeProject, name: str, container: Container | None, shared: str | None
) -> Standpoint:
    service = project.services[name]
    owner = project.services[project.network_owner(name)]
    joins = shared is not None and not owner.network_mode and (container is None or shared not in container.networks)
    if shared is not None and joins and session.engine.network(shared) is not None:
        # It is not on the shared network yet, where the server's name may be known only.
        return Standpoint(name, network=shared, image=service.image)
    if container is not None:
        return Standpoint(name, container.id, image=service.image)
    if service.network_mode == "host":
        return Standpoint(name, network="host", image=service.image)
    for key in project.services[project.network_owner(name)].networks:
        network = str(project.networks.get(key, {}).get("name") or f"{project.name}_{key}")
        if session.engine.network(network) is not None:
            return Standpoint(name, network=network, image=service.image)
    # Before the first `up` its networks do not exist; the engine's default bridge leaves by the same way.
    return _bridge(name, service.image)


def _bridge(name: str, image: str = "") -> Standpoint:
    return Standpoint(name, network="bridge", image=image)
