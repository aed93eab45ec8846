"""What to ask: the first plan of a consumer, and what to ask again once something failed. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stackctl.config.url import OllamaUrl
from stackctl.diagnose import http_reply as http
from stackctl.diagnose.answers import AimAnswers, ProbeAnswers
from stackctl.diagnose.plan import Aim, Ask, ProbePlan, generate, ladder
from stackctl.diagnose.scene import Scene, UrlSetting
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import STANDARD_PORT, Case
from stackctl.ports import Container
from stackctl.project.discovery.images import is_ollama
from stackctl.project.discovery.pullers import bind_port
from stackctl.project.proxyrules import chosen

DEEP_SECONDS = 60.0
FOLLOW_BUDGET = 6.0


def number(setting: Iterable[UrlSetting]) -> list[UrlSetting]:
    """Give URLs that are the same for a consumer the same aim, so that each is tried once."""
    aims: dict[tuple[str, str, tuple[str, ...]], str] = {}
    out = []
    for one in setting:
        if one.url is None:
            out.append(one)
            continue
        key = (one.consumer, str(one.url), one.addresses)
        aims.setdefault(key, str(len(aims)))
        out.append(replace(one, aim=aims[key]))
    return out


def first_plan(scene: Scene, consumer: str, *, deep: bool = False) -> ProbePlan:
    """Everything told to one consumer, in one process."""
    aims: dict[str, Aim] = {}
    names: list[str] = []
    for setting in scene.settings:
        if setting.consumer != consumer or setting.url is None or setting.aim in aims:
            continue
        case = Case.of(scene, setting)
        # No CA is handed over here: what counts is whether the consumer's own store knows it.
        aim = ladder(
            setting.url,
            aim=setting.aim,
            headers=setting.headers,
            models=setting.models,
            addresses=setting.addresses,
            server_name=setting.server_name,
            verify=setting.verify,
            paths=setting.paths,
        )
        proxy = chosen(case.environment, setting.url)
        if proxy is not None:
            through = Ask(
                "proxied",
                "GET",
                f"{setting.url.prefix}/api/version",
                dict(setting.headers),
                proxy=(proxy.host, proxy.port),
                timeout=4.0,
            )
            aim = replace(aim, asks=(*aim.asks, through))
        if deep and setting.models:
            aim = generate(aim, setting.models[0], seconds=DEEP_SECONDS, headers=setting.headers)
        aims[setting.aim] = aim
        if (
            case.host in case.extra_hosts
            and setting.url.ip is None
            and "host-gateway" not in case.extra_hosts[case.host]
        ):
            names.append(f"{case.host}.")
    return ProbePlan(tuple(aims.values()), names=tuple(names), budget=DEEP_SECONDS + 11 if deep else 11.0)


def second_plan(scene: Scene, consumer: str) -> ProbePlan | None:
    """What tells the look-alikes apart, for a consumer whose ladder broke; None where nothing more can be asked."""
    aims: list[Aim] = []
    names: list[str] = []
    connects: list[tuple[str, int]] = []
    for setting in scene.settings:
        if setting.consumer != consumer or setting.url is None:
            continue
        case = Case.of(scene, setting)
        aims += _again(case, setting, setting.url)
        tried = case.tried
        if tried is not None and tried.port != STANDARD_PORT:
            connects.append((tried.address, STANDARD_PORT))
        if case.aim.resolved is not None and not case.aim.resolved.addresses:
            mine = set(case.container.networks) if case.container else set()
            names += [c.service or c.name for c in scene.everything if c.state == "running" and mine & set(c.networks)][
                :2
            ]
    aims = list({a.id: a for a in aims}.values())
    if not (aims or names or connects):
        return None
    return ProbePlan(
        tuple(aims), tuple(dict.fromkeys(names)), tuple(dict.fromkeys(connects)), facts=False, budget=FOLLOW_BUDGET
    )


def _again(case: Case, setting: UrlSetting, url: OllamaUrl) -> list[Aim]:
    found, at = case.aim, (case.reached.address,) if case.reached else ()
    if not at:
        return []
    aims: list[Aim] = []
    version = f"{url.prefix}/api/version"
    replies = [http.read(a.raw) for a in found.answered]
    statuses = {r.status for r in replies}
    broken = any(r.status == 0 for r in replies) or bool(statuses & {400, 426})
    if url.scheme == "http" and broken:
        aims.append(Aim("tls", replace(url, scheme="https"), addresses=at))
    if 403 in statuses:
        aims.append(
            Aim("localhost", url, (Ask("version", "GET", version, dict(setting.headers), host="localhost"),), at)
        )
    if 401 in statuses and setting.userinfo:
        token = base64.b64encode(setting.userinfo.encode()).decode()
        aims.append(Aim("userinfo", url, (Ask("version", "GET", version, {"Authorization": f"Basic {token}"}),), at))
    if 404 in statuses and (url.prefix or setting.suffix):
        aims.append(Aim("origin", url, (Ask("tags", "GET", "/api/tags", dict(setting.headers)),), at))
    if more := _more(setting, url, found):
        aims.append(
            Aim(
                setting.aim,
                url,
                tuple(more),
                at,
                verify=setting.verify,
                trust=setting.trust,
                server_name=setting.server_name,
            )
        )
    if any(s.error == "VERIFY" and s.verify in (18, 19, 20, 21, 2) for s in found.shaken):
        trust = setting.trust or case.scene.host.trust
        if trust:
            aims.append(Aim("trust", url, (), at, trust=trust, server_name=setting.server_name))
    for page in origins(case):
        aims.append(Aim("page", url, (Ask("version", "GET", version, {**setting.headers, "Origin": page}),), at))
    return aims


def _more(setting: UrlSetting, url: OllamaUrl, found: AimAnswers) -> list[Ask]:
    """Further requests to the same aim, where its address or its version gives a reason."""
    more = []
    if Sign.URL_SLASH in setting.marks:
        more.append(
            Ask("slash", "POST", f"{url.prefix}//api/show", dict(setting.headers), body=b'{"model":"stackctl-probe"}')
        )
    if _is_old(found):
        more.append(Ask("embed", "POST", f"{url.prefix}/api/embed", dict(setting.headers), body=b"{}"))
    return more


def _is_old(found: AimAnswers) -> bool:
    answer = found.ask("version")
    version = http.version(http.read(answer.raw)) if answer else None
    parts = [int(p) for p in re.findall(r"\d+", version or "")[:3]]
    return bool(parts) and [0, 0, 0] < parts < [0, 3, 0]


def origins(case: Case) -> list[str]:
    """Origins of the pages that this consumer serves, as its environment tells."""
    found = []
    for name, value in case.environment.items():
        if re.search(r"ORIGIN|SITE_URL|PUBLIC_URL|WEBUI_URL|NEXTAUTH_URL|APP_URL|FRONTEND_URL", name) and re.match(
            r"https?://", value
        ):
            found.append("/".join(value.split("/")[:3]))
    return found[:1]


def wants_second(scene: Scene, seen: Mapping[str, ProbeAnswers], failing: Sequence[str]) -> list[str]:
    """Consumers to look at again: those that fail, and those with a slash or an old server."""
    wanted = set(failing)
    for setting in scene.settings:
        found = seen.get(setting.consumer)
        aim = found.aims.get(setting.aim) if found else None
        if aim is not None and (
            Sign.URL_SLASH in setting.marks or _is_old(aim) or Sign.CLIENT_BROWSER in setting.marks
        ):
            wanted.add(setting.consumer)
    return [c for c in seen if c in wanted]


@dataclass(frozen=True)
class HostQuestion:
    """What to look at on the engine's host: names to resolve, addresses to try, servers to ask for their models."""

    names: tuple[str, ...] = ()
    tries: tuple[tuple[str, int], ...] = ()
    servers: tuple[tuple[str, int], ...] = ()


def host_question(scene: Scene) -> HostQuestion:
    """Names and addresses of what failed, to be compared with the host's own view."""
    names: list[str] = []
    tries: list[tuple[str, int]] = []
    for setting in scene.settings:
        case = Case.of(scene, setting)
        if setting.url is None:
            continue
        failed = case.aim.resolved is not None and not case.aim.resolved.addresses
        if (
            setting.url.ip is None
            and Sign.URL_LOOPBACK not in setting.marks
            and (failed or case.host in case.extra_hosts)
        ):
            names.append(case.host)
        tries += [(c.address, c.port) for c in case.aim.connected if not c.ok and not c.address.startswith("127.")]
    return HostQuestion(tuple(dict.fromkeys(names)), tuple(dict.fromkeys(tries))[:8], tuple(_servers(scene))[:6])


def _servers(scene: Scene) -> Iterable[tuple[str, int]]:
    """Every running Ollama container of the engine, by an address that the host reaches."""
    for container in scene.everything:
        if container.state == "running" and is_ollama(str((container.raw.get("Config") or {}).get("Image"))):
            port = bind_port(container.environment.get("OLLAMA_HOST", "")) or STANDARD_PORT
            yield from ((str(e["IPAddress"]), port) for e in container.networks.values() if e.get("IPAddress"))


def bridge_plan(scene: Scene, consumer: str) -> ProbePlan | None:
    """The same host address from Docker's default bridge, where the consumer's own network is dropped."""
    for setting in scene.settings:
        if setting.consumer != consumer or setting.url is None:
            continue
        tried = Case.of(scene, setting).tried
        if tried is not None and tried.error == "TIMEOUT" and tried.address in scene.gateways():
            aim = Aim("bridge", setting.url, addresses=(tried.address,))
            return ProbePlan((aim,), facts=False, budget=FOLLOW_BUDGET)
    return None


def store_plan(container: Container) -> ProbePlan:
    """Where the models are kept: what is mounted, and what OLLAMA_MODELS says."""
    mounted = [str(m.get("Destination")) for m in container.raw.get("Mounts") or []]
    named = [container.environment.get("OLLAMA_MODELS", ""), "/root/.ollama"]
    return ProbePlan((), paths=tuple(dict.fromkeys(p for p in [*named, *mounted] if p.startswith("/")))[:4], budget=3.0)
