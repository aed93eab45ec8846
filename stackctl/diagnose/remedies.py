"""Words for remedies: what the right value would be for this very project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from stackctl.config.url import OllamaUrl
from stackctl.diagnose.questions import origins
from stackctl.diagnose.scene import Scene, Told
from stackctl.diagnose.signs.board import STANDARD_PORT, Board, Case
from stackctl.project.compose import Service

HOST_ALIAS = "host.docker.internal"


def complete(board: Board, case: Case, meant: OllamaUrl | None) -> None:
    """Add the words that remedies use. ``meant`` is what the configuration would tell this consumer."""
    told, words = case.told, board.words
    good = meant or best(case.scene, case)
    words["good"] = spell(told, good)
    words["container"] = case.container.name if case.container else told.consumer
    words["own_subnet"] = _own_subnet(case)
    words.setdefault("host_address", "<its address>")
    words.setdefault("ext_servers", "the host's resolver")
    words.setdefault("suggestion", good.host)
    words["origin_header"] = next(iter(origins(case)), "*")
    if told.url is None:
        return
    url = told.url
    tail = "/v1" if "client.openai" in told.marks or {"url.v1", "template.v1"} <= told.marks else ""
    words["bare"] = f"{url}{tail}"
    words["bare_root"] = str(url)
    for key, other in (
        ("with_port", replace(url, port=STANDARD_PORT)),
        ("http_url", replace(url, scheme="http")),
        ("https_url", _https(url)),
        ("v1_url", None),
        ("origin", replace(url, prefix="")),
    ):
        words[key] = f"{url}/v1" if other is None else f"{other}{tail}"
    if words.get("v4"):
        words["v4_url"] = f"{url.with_host(words['v4'])}{tail}"
    if words.get("listen"):
        words["listen_url"] = (
            f"{url.with_host(words['listen'].rpartition(':')[0] or words['listen'])}{tail}"
            if _is_pair(words["listen"])
            else f"{url.with_host(words['listen'])}{tail}"
        )
    if words.get("inner", "").isdigit():
        words["inner_url"] = f"{replace(url, port=int(words['inner']))}{tail}"
    if words.get("san"):
        words["san_url"] = f"{url.with_host(words['san'])}{tail}"
    if words.get("unique"):
        words["unique_url"] = f"{url.with_host(words['unique'])}{tail}"
    target = words.get("target_service") or words.get("target_container")
    if target:
        inner = int(words["inner"]) if words.get("inner", "").isdigit() else _port_of(case.scene, target, url.port)
        words["target_url"] = f"http://{target}:{inner}{tail}"
        words["host_net_url"] = f"http://127.0.0.1:{_published_port(case.scene, target, inner)}{tail}"


def _is_pair(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9.]+:\d+|\[[^\]]+\]:\d+", text))


def _https(url: OllamaUrl) -> OllamaUrl:
    return replace(url, scheme="https", port=443 if url.port == 80 else url.port)


def spell(told: Told, url: OllamaUrl) -> str:
    """``url`` in the form that this variable takes."""
    if "value.host_port" in told.marks and told.template != "{url}":
        return url.address
    return (
        f"{url}/v1"
        if "client.openai" in told.marks or (told.suffix == "/v1" and "template.v1" in told.marks)
        else str(url)
    )


def best(scene: Scene, case: Case) -> OllamaUrl:
    """The likeliest right address: the project's own Ollama, one that runs elsewhere on the engine, the host."""
    active = [s for s in scene.ollama_services if s in scene.project.active] or list(scene.ollama_services)
    if active:
        service = scene.project.services.get(active[0])
        if case.on_host_network:
            return OllamaUrl("http", "127.0.0.1", _published_port(scene, active[0], server_port(service)))
        return OllamaUrl("http", active[0], server_port(service))
    running = [
        c for c in scene.others if c.state == "running" and "ollama" in str((c.raw.get("Config") or {}).get("Image"))
    ]
    mine = set(case.container.networks) if case.container else set()
    near = [c for c in running if mine & set(c.networks)]
    if near:
        return OllamaUrl("http", near[0].name, STANDARD_PORT)
    return OllamaUrl("http", "127.0.0.1" if case.on_host_network else HOST_ALIAS, STANDARD_PORT)


def server_port(service: Service | None) -> int:
    """The port that an Ollama service listens on, from its OLLAMA_HOST."""
    value = (service.environment.get("OLLAMA_HOST") if service else "") or ""
    match = re.search(r":(\d{2,5})/?$", value)
    return int(match[1]) if match else STANDARD_PORT


def _port_of(scene: Scene, name: str, otherwise: int) -> int:
    service = scene.project.services.get(name)
    return server_port(service) if service is not None else otherwise


def _published_port(scene: Scene, name: str, inner: int) -> int:
    service = scene.project.services.get(name)
    for port in service.ports if service else []:
        if port.get("target") == inner and str(port.get("published") or "").isdigit():
            return int(port["published"])
    return inner


def _own_subnet(case: Case) -> str:
    names: Sequence[str] = list(case.container.networks) if case.container else []
    return next((str(subnet) for name, subnet, _ in case.scene.subnets() if name in names), "172.16.0.0/12")
