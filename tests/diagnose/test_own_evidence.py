"""What the project's own logs and states say goes before any guess from what others run on the host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stackctl.config.url import OllamaUrl
from stackctl.diagnose import url_text
from stackctl.diagnose.answers import AimAnswers, Connected, ProbeAnswers, Resolved
from stackctl.diagnose.consumer_urls import url_settings
from stackctl.diagnose.findings import Finding
from stackctl.diagnose.judgement import judge_scene
from stackctl.diagnose.scene import HostFacts, Scene
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.project.discovery.findings import Consumer, Findings, Setting
from tests.diagnose.small_scenes import TAGS, container, healthy

NO_DNS = "Error: pull model manifest: dial tcp: lookup registry.ollama.ai on 127.0.0.11:53: no such host"


def stranger(name: str, project: str = "", address: str = "10.9.0.2", **raw: Any) -> Container:
    """A running Ollama of somebody else, on a network of its own, where it is called ``ollama``."""
    labels = {"com.docker.compose.service": "ollama", "com.docker.compose.project": project} if project else {}
    networks = {f"{project or 'bridge'}_default": {"IPAddress": address, "Aliases": ["ollama"]}}
    config = {"Labels": labels, "Image": "ollama/ollama:0.33.0"}
    base = {"Id": f"{name}-id", "Name": f"/{name}", "State": {"Status": "running"}, "Config": config}
    return Container({**base, "NetworkSettings": {"Networks": networks}, **raw})


def empty(*, log: str = "", **more: Any) -> Scene:
    """The consumer wants ``llama3.2:1b``; its server has no models at all."""
    scene = healthy("")
    one = replace(scene.settings[0], models=("llama3.2:1b",))
    aim = scene.seen["app"].aims[one.aim]
    tags = TAGS.replace(b'{"name":"qwen3:8b"}', b"")
    answered = tuple(replace(a, raw=tags) if a.ask == "tags" else a for a in aim.answered)
    seen = {"app": ProbeAnswers("exec:python3", {one.aim: replace(aim, answered=answered)})}
    store = container("ollama", Mounts=[{"Type": "volume", "Name": "shop_models", "Destination": "/root/.ollama"}])
    logs = {"shop-ollama-1": log}
    return replace(scene, settings=(one,), seen=seen, logs=logs, containers=(container("app"), store), **more)


def dead(scene: Scene, *containers: Container) -> Scene:
    """The same consumer, whose name ``ollama`` does not resolve."""
    (one,) = scene.settings
    aim = AimAnswers(Resolved("ollama", (), "EAI_NONAME", 1.0))
    seen = {"app": ProbeAnswers("exec:python3", {one.aim: aim})}
    return replace(scene, seen=seen, containers=containers or scene.containers)


def found(scene: Scene) -> list[Finding]:
    return list(judge_scene(scene, {}).findings)


def causes(scene: Scene) -> list[str]:
    return [f.cause for f in found(scene) if f.severity == "error"]


CROWD = {
    "others": (stranger("blog-ollama-1", "blog"), stranger("wiki-ollama-1", "wiki", "10.9.1.2")),
    "volumes": ("shop_models", "blog_models", "wiki_ollama", "old_ollama"),
    "volume_owners": {"blog_models": "blog", "wiki_ollama": "wiki"},
    "host": HostFacts(known=True, models={"10.9.0.2:11434": ("llama3.2:1b",), "10.9.1.2:11434": ("llama3.2:1b",)}),
}


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (NO_DNS, "pull-dns-failure"),
        ("write /root/.ollama/x: no space left on device", "disk-full"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "tls-interception"),
        ("", "model-not-pulled"),
    ],
)
def test_strangers_are_not_blamed(log: str, cause: str) -> None:
    assert causes(empty(log=log, **CROWD)) == causes(empty(log=log)) == [cause]


@pytest.mark.parametrize("log", [NO_DNS, ""])
def test_an_earlier_volume_of_the_same_name_is_a_guess_after_the_log(log: str) -> None:
    scene = empty(log=log, volumes=("shop_models", "store_models"), volume_owners={"store_models": "store"})
    assert causes(scene) == (["pull-dns-failure"] if log else ["models-lost-new-volume"])
    if not log:
        assert "of the project store, which has no container any more" in found(scene)[0].remedy.summary


def test_an_own_server_that_stopped_goes_before_a_stranger_of_its_name() -> None:
    stopped = container("ollama", State={"Status": "exited", "ExitCode": 1})
    scene = dead(replace(healthy(""), others=CROWD["others"]), container("app"), stopped)
    assert causes(scene) == ["service-stopped-name-vanishes"]


def test_a_stranger_that_a_remedy_names_is_said_to_be_one() -> None:
    scene = dead(healthy(""), container("app"))
    services = {"app": {"image": "acme/app"}}
    project = ComposeProject.from_config(
        {"name": "shop", "services": services}, directory="/p", active=frozenset({"app"})
    )
    alone = replace(scene, project=project, ollama_services=())
    (first, *_) = found(replace(alone, others=(stranger("ollama", "blog"),)))
    assert (first.cause, first.remedy.automatic) == ("service-on-other-network", False)
    assert "ollama is a container of the project blog" in first.remedy.summary
    (first, *_) = found(replace(alone, others=(stranger("blog-ollama-1", "blog"),)))
    assert first.cause == "service-name-not-in-project"
    assert "blog" not in str(first.as_json())


def test_a_server_that_a_switch_took_away_is_told_as_that() -> None:
    services = {
        "app": {"image": "acme/app", "environment": {"OLLAMA_BASE_URL": "http://ollama:11434"}},
        "ollama": {"image": "ollama/ollama", "profiles": ["stackctl-off"]},
    }
    project = ComposeProject.from_config(
        {"name": "shop", "services": services}, directory="/p", active=frozenset({"app"})
    )
    (one,) = found(dead(replace(healthy(""), project=project, verified="http://box:11434"), container("app")))
    assert one.cause == "service-stopped-name-vanishes"
    assert "the last switch took that server away" in one.summary
    assert "stackctl-off" not in str(one.as_json())
    assert one.remedy.commands[0] == "stackctl switch local"
    assert not one.remedy.automatic


@pytest.mark.parametrize(
    ("log", "cause", "evidence"),
    [
        ("Error: connect ECONNREFUSED ollama:11434", "startup-race", "connect ECONNREFUSED"),
        ("KeyError: 'DATABASE_URL'", "crash-loop", "KeyError: 'DATABASE_URL'"),
    ],
)
def test_a_consumer_that_ended_is_judged_by_its_log(log: str, cause: str, evidence: str) -> None:
    ended = container("app", State={"Status": "exited", "ExitCode": 1})
    (first,) = found(replace(healthy(log), containers=(ended, container("ollama"))))
    assert first.cause == cause
    assert evidence in " ".join(first.evidence)


def test_a_consumer_that_ended_for_its_ollama_has_its_ollamas_cause() -> None:
    ended = container("app", State={"Status": "exited", "ExitCode": 1})
    scene = healthy("Error: getaddrinfo ENOTFOUND ollama:11434")
    stopped = container("ollama", State={"Status": "exited", "ExitCode": 0})
    assert causes(dead(scene, ended, stopped))[:1] == ["service-stopped-name-vanishes"]


@pytest.mark.parametrize("code", [0, 137, 143])
def test_a_consumer_that_was_told_to_end_is_no_failure(code: int) -> None:
    ended = container("app", State={"Status": "exited", "ExitCode": code})
    assert found(replace(healthy(""), containers=(ended, container("ollama")))) == []


def declared(environment: dict[str, str], template: str = "{url}") -> Scene:
    scene = healthy("")
    app = container(
        "app", Config={**container("app").raw["Config"], "Env": [f"{k}={v}" for k, v in environment.items()]}
    )
    containers = (app, container("ollama"))
    named = {"app": {"OLLAMA_URL": template}}
    settings = url_settings(scene.project, containers, None, named=named, models=(), dotenv={})
    return replace(scene, containers=containers, settings=tuple(settings))


def test_a_declared_consumer_that_is_told_nothing_is_an_error() -> None:
    (first,) = found(declared({"OTHER": "x"}))
    assert (first.severity, first.remedy.commands) == ("error", ("stackctl up",))
    assert "OLLAMA_URL" in first.evidence[0]


def test_what_is_told_by_a_file_is_asked_too() -> None:
    setting = Setting("config_file", "app.toml", 'url = "http://ollama:11434/v1"', None, "app.toml:4", "a file")
    other = Setting("config_file", "app.toml", 'url = "http://elsewhere:11434"', None, "app.toml:5", "a file")
    beside = Consumer("tabby", "app", (setting, other))
    findings = Findings("shop", (), (beside,), ())
    project = healthy("").project
    named = {"app": {"OLLAMA_URL": "{url}"}}
    told = url_settings(project, (), findings, named=named, models=(), dotenv={}, servers=("ollama",))
    assert [(t.consumer, t.url, t.place) for t in told if t.consumer != "app"] == [
        ("tabby", OllamaUrl("http", "ollama", 11434), "app.toml")
    ]


def test_a_consumer_named_without_variables_is_asked_by_what_its_files_say() -> None:
    environment = Setting("env", "OLLAMA_BASE_URL", "http://ollama:11434", "{url}", "compose.yaml:3")
    findings = Findings("shop", (), (Consumer("app", "app", (environment,)),), ())
    told = url_settings(healthy("").project, (), findings, named={"app": {}}, models=(), dotenv={}, servers=("ollama",))
    assert [(t.consumer, str(t.url)) for t in told] == [("app", "http://ollama:11434")]


def test_what_is_asked_about_comes_first_and_no_value_replaces_itself() -> None:
    scene = dead(healthy(""), container("app"))
    (read,) = url_text.read("app", "url", "http://box.local:11434", source="profile")
    profile = replace(read, variable="instances.box.url", place="stackctl.yaml", aim="p")
    seen = {
        "app": replace(
            scene.seen["app"],
            aims={**scene.seen["app"].aims, "p": AimAnswers(Resolved("box.local", (), "EAI_NONAME", 1.0))},
        )
    }
    both = replace(scene, settings=(*scene.settings, profile), seen=seen)
    first = judge_scene(both, {"app": OllamaUrl("http", "box.local", 11434)}).findings[0]
    assert first.cause == "mdns-local-name"
    assert all(
        " in place of " not in c or c.split(" in place of ")[1] not in c.split(" in place of ")[0]
        for c in first.remedy.commands
    )


def sharing(owner: Container | None, started: str = "2026-01-01T10:00:00Z") -> list[Finding]:
    """What is found where ``indexer``, no consumer, stands in the network of ``vpn``."""
    scene = healthy("")
    services = {
        **{name: dict(s.raw) for name, s in scene.project.services.items()},
        "vpn": {"image": "acme/vpn"},
        "indexer": {"image": "acme/indexer", "network_mode": "service:vpn"},
    }
    project = ComposeProject.from_config(
        {"name": "shop", "services": services}, directory="/p", active=frozenset(services)
    )
    state = {"Status": "running", "StartedAt": started}
    indexer = container("indexer", HostConfig={"NetworkMode": "container:vpn-id"}, State=state)
    owners = (owner,) if owner is not None else ()
    return found(replace(scene, project=project, containers=(*scene.containers, indexer, *owners)))


def vpn(started: str, mode: str = "shop_default") -> Container:
    state = {"Status": "running", "StartedAt": started}
    return container("vpn", HostConfig={"NetworkMode": mode}, State=state)


@pytest.mark.parametrize("owner", [None, vpn("2026-01-01T11:00:00Z")], ids=["made anew", "started anew"])
def test_a_service_that_lost_the_network_it_stood_in_is_found(owner: Container | None) -> None:
    (one,) = sharing(owner)
    assert (one.cause, one.consumer, one.remedy.fix) == ("shared-netns-lost", None, "recreate")
    assert "indexer" in one.summary


@pytest.mark.parametrize("owner", [vpn("2026-01-01T09:59:59Z"), vpn("2026-01-01T11:00:00Z", "host")])
def test_a_service_in_the_network_of_one_that_runs_is_fine(owner: Container) -> None:
    assert sharing(owner) == []


def behind(*, gateway: bool) -> list[Finding]:
    """What is found where the project's gateway says that what is behind it cannot be reached."""
    scene = healthy("")
    body = b'{"error":"stackctl gateway: box cannot be reached"}'
    raw = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\r\n" + body
    (one,) = scene.settings
    aim = scene.seen["app"].aims[one.aim]
    seen = {
        "app": ProbeAnswers(
            "exec:python3", {one.aim: replace(aim, answered=tuple(replace(a, raw=raw) for a in aim.answered))}
        )
    }
    settings = [one]
    if gateway:
        (read,) = url_text.read("stackctl-gateway", "url", "http://box.local:11434", source="gateway")
        settings.append(replace(read, place="stackctl.yaml", variable="instances.box.url", aim="g"))
        lost = AimAnswers(Resolved("box.local", (), "EAI_NONAME", 1.0))
        seen["stackctl-gateway"] = ProbeAnswers("probe", {"g": lost})
    return found(replace(scene, settings=tuple(settings), seen=seen))


@pytest.mark.parametrize(("gateway", "cause"), [(False, "proxy-upstream-down-502"), (True, "mdns-local-name")])
def test_behind_the_gateway_the_cause_is_what_the_gateway_meets(gateway: bool, cause: str) -> None:
    (one,) = behind(gateway=gateway)
    assert (one.cause, one.consumer, one.remedy.automatic) == (cause, "app", False)
    assert "box" in one.summary
    assert "the gateway answers 503" in one.evidence[0]


def test_a_container_that_published_the_port_is_named_and_no_unit() -> None:
    (read,) = url_text.read("app", "OLLAMA_URL", "http://10.9.0.1:11434")
    scene = dead(healthy(""), container("app"))
    aim = AimAnswers(None, (Connected("10.9.0.1", 11434, "ECONNREFUSED", 1.0),))
    bindings = {"11434/tcp": [{"HostIp": "", "HostPort": "11434"}]}
    stopped = stranger("old-llm", State={"Status": "exited", "ExitCode": 1}, HostConfig={"PortBindings": bindings})
    network = {
        "Name": "shop_default",
        "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]},
    }
    seen = {"app": ProbeAnswers("exec:python3", {read.aim: aim})}
    host = HostFacts(known=True)
    (one,) = found(
        replace(
            scene, settings=(read,), seen=seen, others=(stopped,), networks=(network,), host=host, ollama_services=()
        )
    )
    assert one.cause == "ollama-not-running"
    assert one.remedy.commands[0] == "docker start old-llm"
    assert "of no Compose project" in one.remedy.summary
