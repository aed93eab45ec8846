"""Words for remedies: what the right value would be for this very project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from stackctl.config.url import OllamaUrl
from stackctl.diagnose.questions import origins
from stackctl.diagnose.scene import Scene, UrlSetting
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import STANDARD_PORT, Board, Case
from stackctl.diagnose.words import Words
from stackctl.project.compose import Service

HOST_ALIAS = "host.docker.internal"


def complete(board: Board, case: Case, meant: OllamaUrl | None) -> None:
    """Add the words that remedies use. ``meant`` is what the configuration would tell this consumer."""
    setting, words = case.setting, board.words
    good = meant or best(case.scene, case)
    url = setting.url or good
    tail = "/v1" if Sign.CLIENT_OPENAI in setting.marks or {Sign.URL_V1, Sign.TEMPLATE_V1} <= setting.marks else ""

    def form(other: OllamaUrl | str) -> str:
        """As this variable is written: with ``/v1`` where it had it, without a scheme where it had none."""
        text = f"{other}{tail}"
        return (
            text.removeprefix("http://")
            if Sign.VALUE_HOST_PORT in setting.marks and setting.template != "{url}"
            else text
        )

    words["good"] = spell(setting, good)
    words["container"] = case.container.name if case.container else setting.consumer
    words["allow"] = _allow(board, _own_subnet(case), words.get("port", ""))
    words.setdefault("suggestion", good.host)
    words.setdefault("address", case.host)
    words.setdefault("model", next(iter(setting.models), "<model>"))
    words["origin_header"] = next(iter(origins(case)), "*")
    words["ollama"] = _command_line(case, url)
    words["bare"] = form(url)
    words["with_port"] = form(replace(url, port=STANDARD_PORT))
    words["http_url"] = form(replace(url, scheme="http"))
    words["https_url"] = form(_https(url))
    words["origin"] = form(replace(url, prefix=""))
    words["v1_url"] = f"{url}/v1"
    _networks(case, words)
    if v4 := words.get("v4"):
        words["v4_url"] = form(url.with_host(v4))
    if listen := words.get("listen"):
        words["listen_url"] = form(url.with_host(listen.rpartition(":")[0] if _is_pair(listen) else listen))
    if inner := words.get("inner"):
        words["inner_url"] = form(replace(url, port=int(inner)))
    if san := words.get("san"):
        words["san_url"] = form(url.with_host(san))
    if unique := words.get("unique"):
        words["unique_url"] = form(url.with_host(unique))
    target = words.get("target_service") or words.get("target_container") or ""
    words["bind"] = f"0.0.0.0:{_port_of(case.scene, target, STANDARD_PORT)}"
    words["target_url"] = words["host_net_url"] = words["good"]
    if target:
        port = int(words["inner"]) if words.get("inner") else _port_of(case.scene, target, url.port)
        words["target_url"] = form(f"http://{target}:{port}")
        words["host_net_url"] = form(f"http://127.0.0.1:{_published_port(case.scene, target, port)}")


def _command_line(case: Case, url: OllamaUrl) -> str:
    """How to call ``ollama`` for this server on the machine that diagnoses: names of containers mean nothing there."""
    if case.target is not None and case.target.service in case.scene.ollama_services:
        return f"docker exec {case.target.name} ollama"
    here = url.with_host("127.0.0.1") if url.host == HOST_ALIAS or url.host in case.scene.gateways() else url
    return f"OLLAMA_HOST={here} ollama"


def _networks(case: Case, words: Words) -> None:
    """Networks as the user's files call them, for lines to be pasted there."""
    project = case.scene.project
    keys = {str(n.get("name") or f"{project.name}_{k}"): k for k, n in project.networks.items()}
    owner = project.network_owner(case.setting.consumer)
    service = project.services.get(owner)
    own = list(service.networks) if service and service.networks else ["default"]
    words["network_service"], words["own_networks"] = owner, ", ".join(own)
    overlap = words.get("overlap", "")
    words["overlap_key"] = keys.get(overlap, overlap)
    words["target_subnet_of"] = "" if overlap in keys else "# in the project that it is of\n"
    words["join"] = ""
    if name := words.get("target_network"):
        key = keys.get(name, name)
        lines = [] if name in keys else ["networks:", f"  {key}: {{external: true}}"]
        lines += ["services:", f"  {owner}:", f"    networks: [{', '.join(dict.fromkeys([*own, key]))}]"]
        words["join"] = "\n".join(lines)


def _is_pair(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9.]+:\d+|\[[^\]]+\]:\d+", text))


def _https(url: OllamaUrl) -> OllamaUrl:
    return replace(url, scheme="https", port=443 if url.port == 80 else url.port)


def spell(setting: UrlSetting, url: OllamaUrl) -> str:
    """``url`` in the form that this variable takes."""
    if Sign.VALUE_HOST_PORT in setting.marks and setting.template != "{url}" and url.scheme == "http":
        return url.address
    return (
        f"{url}/v1"
        if Sign.CLIENT_OPENAI in setting.marks or (setting.suffix == "/v1" and Sign.TEMPLATE_V1 in setting.marks)
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


def _allow(board: Board, subnet: str, port: str) -> str:
    """Lines that let one network in to one port, in the words of the firewall that this host has."""
    if Sign.RULES_FIREWALLD in board.on:
        rule = f"rule family=ipv4 source address={subnet} port port={port} protocol=tcp accept"
        return f"sudo firewall-cmd --permanent --add-rich-rule='{rule}'\nsudo firewall-cmd --reload"
    if Sign.RULES_NFT in board.on:
        return "\n".join(
            (
                "sudo nft -a list ruleset   # the chain with `hook input`, and the rule in it",
                f"sudo nft insert rule <family> <table> <chain> ip saddr {subnet} tcp dport {port} accept",
            )
        )
    if Sign.RULES_UFW in board.on or Sign.RULES_KNOWN not in board.on:
        return f"sudo ufw allow in from {subnet} to any port {port} proto tcp"
    return f"sudo iptables -I INPUT -s {subnet} -p tcp --dport {port} -j ACCEPT"


def _own_subnet(case: Case) -> str:
    names: Sequence[str] = list(case.attached)
    return next((str(subnet) for name, subnet, _ in case.scene.subnets() if name in names), "172.16.0.0/12")
