"""How each repair is made: one function a kind, and the table that names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackctl.config.url import HOST_ALIAS
from stackctl.diagnose.findings import Finding
from stackctl.diagnose.repair import Repair, RepairCase
from stackctl.diagnose.scene import Scene
from stackctl.project.yamltext import Override, Reset, Text

SYSTEM_STORE = "/etc/ssl/certs/ca-certificates.crt"
EGRESS = "stackctl-egress"


def _tells(key: str) -> Callable[[RepairCase], Repair | None]:
    return lambda ground: ground.tell(key)


def _pin(ground: RepairCase, address: str, *, replace: bool = False) -> Repair | None:
    host = ground.word("host")
    if not host or not address or "<" in address or not ground.names_at:
        return None
    entry: Any = [f"{host}:{address}"]
    if replace:
        service = ground.scene.project.services.get(ground.names_at)
        kept = [f"{n}:{a}" for n, found in (service.extra_hosts if service else {}).items() for a in found if n != host]
        entry = Override([*kept, f"{host}:{address}"])
    return Repair(
        f"pin {host} to {address} for {ground.consumer}",
        {ground.names_at: {"extra_hosts": entry}},
        recreate=(ground.names_at,),
    )


def _join(ground: RepairCase, network: str, *, url: str = "") -> Repair | None:
    if not network or network in ("bridge", "host", "none") or _is_strangers(ground):
        return None
    project = ground.scene.project
    owner = project.network_owner(ground.consumer) if ground.consumer in project.services else ground.consumer
    own = _networks_of(ground.scene, owner)
    key, networks = _network_key(ground.scene, network)
    services: dict[str, dict[str, Any]] = {owner: {"networks": {**own, key: None}}}
    if url:
        services.setdefault(ground.consumer, {})["environment"] = {ground.word("variable"): Text(url)}
    says = f"put {owner} on the network {network}" + (f", and set {ground.word('variable')}={url}" if url else "")
    return Repair(says, services, networks, tuple(dict.fromkeys((owner, ground.consumer))))


def _is_strangers(ground: RepairCase) -> bool:
    """Whether the server meant is another Compose project's: whose network it is, its owner may say."""
    target = ground.scene.by_id(ground.word("target_container"))
    return target in ground.scene.others and bool(target and target.labels.get("com.docker.compose.project"))


def _network_key(scene: Scene, name: str) -> tuple[str, dict[str, Any]]:
    """The project's own key of an engine network, else a new external one."""
    for key, network in scene.project.networks.items():
        if name == str(network.get("name") or f"{scene.project.name}_{key}"):
            return key, {}
    return "stackctl-joined", {"stackctl-joined": {"name": name, "external": True}}


def _networks_of(scene: Scene, service: str) -> dict[str, None]:
    found = scene.project.services.get(service)
    return dict.fromkeys(found.networks or ["default"]) if found else {"default": None}


def _egress(ground: RepairCase) -> Repair | None:
    own = _networks_of(ground.scene, ground.consumer)
    service: dict[str, Any] = {"networks": {**own, EGRESS: {"gw_priority": 100}}}
    if "macvlan" in ground.finding.cause:
        # The host's own address stays on the macvlan's side; only its bridge address is reached.
        url = ground.word("bare").replace(ground.word("host"), HOST_ALIAS, 1)
        service["environment"] = {ground.word("variable"): Text(url)}
        service["extra_hosts"] = [f"{HOST_ALIAS}:host-gateway"]
    network = {"driver": "bridge", "labels": {"io.stackctl.role": "network"}}
    says = f"put {ground.consumer} on a network with a way out"
    return Repair(says, {ground.consumer: service}, {EGRESS: network}, (ground.consumer,))


def _give_network(ground: RepairCase) -> Repair | None:
    return Repair(
        f"put {ground.consumer} on the project's default network",
        {ground.consumer: {"network_mode": Reset(), "networks": {"default": None}}},
        {"default": {}},
        (ground.consumer,),
    )


def _join_and_name(ground: RepairCase) -> Repair | None:
    if not ground.word("target_url"):
        return None
    return _join(ground, ground.word("target_network"), url=ground.word("target_url"))


def _no_proxy(ground: RepairCase) -> Repair | None:
    host = ground.word("host")
    if "loopback" in ground.finding.cause:
        blank = {
            n: Text("") for n in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
        }
        return Repair(
            f"blank the proxies of {ground.consumer}",
            {ground.consumer: {"environment": blank}},
            recreate=(ground.consumer,),
        )
    container = ground.scene.container(ground.consumer)
    have = (container.environment.get("no_proxy") or container.environment.get("NO_PROXY") or "") if container else ""
    listed = ",".join(
        dict.fromkeys([*(e.strip() for e in have.split(",") if e.strip()), "localhost", "127.0.0.1", host])
    )
    env = {"NO_PROXY": Text(listed), "no_proxy": Text(listed)}
    return Repair(
        f"add {host} to NO_PROXY of {ground.consumer}",
        {ground.consumer: {"environment": env}},
        recreate=(ground.consumer,),
    )


def _start(ground: RepairCase) -> Repair | None:
    return Repair(f"start {ground.server}", recreate=(ground.server,)) if ground.server else None


def _profile(ground: RepairCase) -> Repair | None:
    service = ground.word("target_service")
    if service not in ground.scene.project.services:
        return None
    return Repair(f"switch {service} on", {service: {"profiles": Reset()}}, recreate=(service,))


def _trust(ground: RepairCase) -> Repair | None:
    """The host's own trust store, where the server passes with it."""
    source = ground.word("host_store")
    if not source:
        return None
    variables = {
        n: Text(SYSTEM_STORE) for n in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")
    }
    mount = {"type": "bind", "source": source, "target": SYSTEM_STORE, "read_only": True}
    return Repair(
        f"mount this machine's CA certificates into {ground.consumer}",
        {ground.consumer: {"environment": variables, "volumes": [mount]}},
        recreate=(ground.consumer,),
    )


def _trust_system(ground: RepairCase) -> Repair | None:
    variables = {n: Text(SYSTEM_STORE) for n in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")}
    return Repair(
        f"point {ground.consumer} at its system store",
        {ground.consumer: {"environment": variables}},
        recreate=(ground.consumer,),
    )


def _health(ground: RepairCase) -> Repair | None:
    test = ["CMD", "ollama", "list"]
    return ground.change(
        ground.server,
        f"let the healthcheck of {ground.server} call `ollama list`",
        healthcheck={"test": Override(test)},
    )


def _wait(ground: RepairCase) -> Repair | None:
    server = ground.word("target_service")
    if server not in ground.scene.project.services:
        return None
    services: dict[str, Any] = {ground.consumer: {"depends_on": {server: {"condition": "service_healthy"}}}}
    if not ground.scene.project.services[server].raw.get("healthcheck"):
        services[server] = {
            "healthcheck": {"test": ["CMD", "ollama", "list"], "interval": "5s", "timeout": "5s", "retries": 12}
        }
    return Repair(f"let {ground.consumer} wait until {server} is healthy", services, recreate=(server, ground.consumer))


def _gpu(ground: RepairCase) -> Repair | None:
    info = ground.scene.info
    cdi = [d for d in info.cdi_devices if "nvidia" in d] if info else []
    device = (
        {"driver": "cdi", "device_ids": [cdi[0].split("=")[0] + "=all"]}
        if cdi
        else {"driver": "nvidia", "count": "all"}
    )
    reserve = {"resources": {"reservations": {"devices": [{**device, "capabilities": ["gpu"]}]}}}
    return ground.change(ground.server, f"reserve the GPU for {ground.server}", deploy=reserve)


def _no_gpu(ground: RepairCase) -> Repair | None:
    return ground.change(
        _named(ground),
        f"take the GPU reservation out of {_named(ground)}",
        deploy={"resources": {"reservations": {"devices": Reset()}}},
        devices=Reset(),
        runtime=Reset(),
        gpus=Reset(),
    )


def _named(ground: RepairCase) -> str:
    """The service that cannot be made or started."""
    if ground.finding.consumer is None:
        return ground.word("service")
    return ground.server


def _drop_dead(ground: RepairCase) -> Repair | None:
    return ground.tell("alive")


def _model_name(ground: RepairCase) -> Repair | None:
    model, near = ground.word("model"), ground.word("near")
    service = ground.scene.project.services.get(ground.consumer)
    container = ground.scene.container(ground.consumer)
    env = container.environment if container else dict(service.environment) if service else {}
    variable = next((k for k, v in env.items() if v == model), "")
    if not variable or not near:
        return None
    return Repair(
        f"set {variable}={near} for {ground.consumer}",
        {ground.consumer: {"environment": {variable: Text(near)}}},
        recreate=(ground.consumer,),
    )


def _pull(ground: RepairCase) -> Repair | None:
    container = ground.scene.by_id(ground.word("target_container"))
    if container is None or container.service not in ground.scene.ollama_services:
        return None
    return Repair(f"pull {ground.word('model')} on {container.service}", model=(container.id, ground.word("model")))


def _restart_policy(ground: RepairCase) -> Repair | None:
    return ground.change(
        ground.server, f"start {ground.server}, and again after each start of the machine", restart="unless-stopped"
    )


def _unique(ground: RepairCase) -> Repair | None:
    return ground.tell("unique_url")


def _hostnet(ground: RepairCase) -> Repair | None:
    service = ground.scene.project.services.get(ground.word("target_service"))
    if service is None or not service.ports:
        return None
    return ground.tell("host_net_url")


MAKERS: dict[str, Callable[[RepairCase], Repair | None]] = {
    "set-url": _tells("bare"),
    "set-good": _tells("good"),
    "set-port": _tells("with_port"),
    "set-v4": _tells("v4_url"),
    "set-http": _tells("http_url"),
    "set-https": _tells("https_url"),
    "set-v1": _tells("v1_url"),
    "set-origin": _tells("origin"),
    "set-inner": _tells("inner_url"),
    "set-listen": _tells("listen_url"),
    "set-san": _tells("san_url"),
    "unique-name": _unique,
    "set-dotenv": _tells("dotenv_value"),
    "set-env-file": _tells("env_file_value"),
    "drop-dead": _drop_dead,
    "hostnet": _hostnet,
    "set-current": lambda g: g.tell("good", variable=g.word("current")),
    "recreate": lambda g: Repair(f"recreate {g.consumer}", recreate=(g.consumer,), force=True),
    "restart-server": lambda g: Repair(f"recreate {g.server}", recreate=(g.server,), force=True) if g.server else None,
    "restart-target": lambda g: Repair(f"recreate {g.server}", recreate=(g.server,), force=True) if g.server else None,
    "host-alias": lambda g: (
        Repair(
            f"define {HOST_ALIAS} in {g.names_at}",
            {g.names_at: {"extra_hosts": [f"{HOST_ALIAS}:host-gateway"]}},
            recreate=(g.names_at,),
        )
        if g.names_at
        else None
    ),
    "pin": lambda g: _pin(g, g.word("host_address")),
    "repin": lambda g: _pin(g, g.word("dns_address"), replace=True),
    "pin-v4": lambda g: _pin(g, g.word("v4"), replace=True),
    "join-network": lambda g: _join(g, g.word("target_network")),
    "join-and-name": _join_and_name,
    "add-egress": _egress,
    "give-network": _give_network,
    "no-proxy": _no_proxy,
    "start": _start,
    "profile-on": _profile,
    "dns-search": lambda g: g.change(g.consumer, f"keep search domains out of {g.consumer}", dns_search=["."]),
    "trust-file": _trust,
    "trust-system": _trust_system,
    "healthcheck": _health,
    "wait-healthy": _wait,
    "bind-all": lambda g: g.serve({"OLLAMA_HOST": g.word("bind") or "0.0.0.0:11434"}),
    "keep-alive": lambda g: g.serve({"OLLAMA_KEEP_ALIVE": "-1"}),
    "context-length": lambda g: g.serve({"OLLAMA_CONTEXT_LENGTH": "16384"}),
    "less-vram": lambda g: g.serve({"OLLAMA_MAX_LOADED_MODELS": "1", "OLLAMA_NUM_PARALLEL": "1"}),
    "origins": lambda g: (
        g.serve({"OLLAMA_ORIGINS": g.word("origin_header")}) if g.word("origin_header") != "*" else None
    ),
    "server-no-proxy": lambda g: g.serve(
        {"NO_PROXY": "localhost,127.0.0.1,0.0.0.0", "no_proxy": "localhost,127.0.0.1,0.0.0.0"}
    ),
    "gpu-reserve": _gpu,
    "no-gpu": _no_gpu,
    "model-name": _model_name,
    "pull-model": _pull,
    "restart-policy": _restart_policy,
    "no-ports": lambda g: g.change(_named(g), f"publish no port of {_named(g)}", ports=Reset()),
    "no-container-name": lambda g: g.change(
        _named(g), f"let Compose name the container of {_named(g)}", container_name=Reset()
    ),
    "create-network": lambda g: Repair(
        f"create the network {g.word('network')}", network=g.word("network"), recreate=(_named(g),)
    ),
    "no-ipam": lambda g: Repair(
        f"let Docker choose a subnet for {g.word('network')}",
        networks={_own_key(g): {"ipam": Reset()}},
        recreate=(_named(g),),
    ),
    "command-serve": lambda g: g.change(
        _named(g), f"let {_named(g)} run `serve`", command=Override(["serve"]), entrypoint=Reset()
    ),
    "own-user": lambda g: g.change(_named(g), f"run {_named(g)} as root again", user="0:0"),
    "more-memory": lambda g: g.change(
        _named(g),
        f"take the memory limit off {_named(g)}",
        mem_limit=Reset(),
        memswap_limit=Reset(),
        deploy={"resources": {"limits": {"memory": Reset()}}},
    ),
    "pids": lambda g: g.change(
        g.consumer if g.finding.consumer else _named(g), f"take the limit of processes off {g.consumer}", pids_limit=-1
    ),
}


def _own_key(ground: RepairCase) -> str:
    key, _ = _network_key(ground.scene, ground.word("network"))
    return key


def plan(finding: Finding, scene: Scene) -> Repair | None:
    """The repair for a finding, or None where this project cannot be repaired this way."""
    maker = MAKERS.get(finding.remedy.fix)
    return maker(RepairCase(finding, scene)) if maker else None
