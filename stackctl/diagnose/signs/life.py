"""Signs of containers' lives: why one does not run, is unhealthy, or could never be made."""

from __future__ import annotations

import ipaddress
import json
import re
from datetime import datetime
from typing import Any

from stackctl.diagnose.scene import Scene
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs import engine, logs, names
from stackctl.diagnose.signs.board import Board, Case
from stackctl.diagnose.trouble import LIVES, Role, Trouble
from stackctl.diagnose.words import Scope
from stackctl.ports import Container
from stackctl.project.compose import Service

LOOPING = 10.0
"""Seconds. A container that was restarted again and again and runs for less has not come up yet."""
_ERRORS = (
    (r"port is already allocated", Trouble.PORT_ENGINE),
    (r"address already in use", Trouble.PORT_HOST),
    (r"could not select device driver|unknown or invalid runtime name: nvidia", Trouble.GPU_DRIVER),
    (r"driver/library version mismatch", Trouble.NVML_MISMATCH),
    (r"unsatisfied condition: cuda|CUDA driver version is insufficient", Trouble.DRIVER_OLD),
    (r"/dev/kfd|/dev/dri", Trouble.ROCM_DEVICE),
    (r"unable to derive the IP value for host-gateway|invalid IP address in add-host", Trouble.HOST_GATEWAY),
    (r"No chain/target/match by that name", Trouble.CHAINS_GONE),
    (r"read-only file system|permission denied.*(?:mount|bind)", Trouble.MOUNT),
)


def read(case: Case, board: Board) -> None:
    """The life of the container that the URL means, and of the consumer itself."""
    target = case.target
    if target is not None and target.id != (case.container.id if case.container else ""):
        board.words.setdefault("target_container", target.name)
        board.words.setdefault("target_service", target.service or target.name)
        of_container(case.scene, target, board, "target")
        logs.of_server(case.scene.logs.get(target.name, ""), board, target.name)
        _race(case, target, board)
        if target.service in case.scene.ollama_services:
            _store(case.scene, target, board)
            _pullers(case, board)
    if case.container is not None:
        of_container(case.scene, case.container, board, "own")
        _ended(case, case.container, board)
    elif case.service is not None:
        _creatable(case.scene, case.service, board, "own")
    named = case.scene.project.services.get(case.host)
    if named is not None and named.name in case.scene.project.active and "service" not in board.words:
        _creatable(case.scene, named, board, "target")
    limits = case.seen.limits if case.seen else ()
    files = case.seen.files if case.seen else {}
    counted = case.scene.processes.get(case.container.name) if case.container else None
    cramped = any("thread" in x or "fork" in x or "Resource temporarily unavailable" in x for x in limits)
    if cramped or _pids_full(files) or (counted and counted[0] >= counted[1] - 1):
        board.note(Sign.PIDS_FULL, f"{case.setting.consumer} is at its limit of processes")


STOPPED = frozenset({0, 130, 137, 143})
"""Exit codes of what was done, or was told to end."""


def _ended(case: Case, container: Container, board: Board) -> None:
    """A consumer that ended by itself, and whether its log says that its Ollama was the reason."""
    loops = Sign.OWN_LOOPS in board.on
    if not loops and (container.state not in ("exited", "dead") or container.exit_code in STOPPED):
        return
    log = case.scene.logs.get(container.name, "")
    last = logs.last_lines(log)
    ended = f"{container.name} ended with exit code {container.exit_code}"
    if logs.failed_towards(log, {case.host, *(c.address for c in case.aim.connected)}, case.port):
        board.note(Sign.OWN_LOG_OLLAMA, f"{ended}; its log ends: {last}")
    elif not loops:
        board.note(Sign.OWN_ENDED, f"{ended}; its log ends: {last or '(nothing)'}", exit_code=str(container.exit_code))


def _pullers(case: Case, board: Board) -> None:
    """Containers that pull models on the server's behalf: it is they who are told why a pull failed."""
    setting = {t.consumer for t in case.scene.settings} | set(case.scene.ollama_services)
    for container in case.scene.containers:
        if container.service not in setting:
            logs.of_puller(case.scene.logs.get(container.name, ""), board, container.name)


def _pids_full(files: Any) -> bool:
    for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/pids"):
        top, now = files.get(f"{base}/pids.max", "").strip(), files.get(f"{base}/pids.current", "").strip()
        if top.isdigit() and now.isdigit():
            return int(now) >= int(top) - 1
    return False


def of_container(scene: Scene, container: Container, board: Board, who: Role) -> None:
    """State, error, exit, health, restarts of one container, noted with the signs of its role ``who``."""
    signs = LIVES[who]
    state: dict[str, Any] = container.raw.get("State") or {}
    host: dict[str, Any] = container.raw.get("HostConfig") or {}
    if who == "target" and container.state == "running":
        board.note(Sign.TARGET_RUNNING)
    restarts = int(container.raw.get("RestartCount") or 0)
    line = f"{container.name} is {container.state}, exit code {container.exit_code}, {restarts} restarts"
    since = seconds_of(container.started_at)
    fresh = since is not None and scene.now - since < LOOPING
    between = container.state == "running" and restarts >= 2 and fresh  # caught between two falls
    if container.state != "running" or between:
        board.note(signs[Trouble.DOWN], line)
    if container.state == "restarting" or between or (restarts >= 3 and container.state != "running"):
        board.note(signs[Trouble.LOOPS], line)
    text = str(state.get("Error") or "")
    for pattern, trouble in _ERRORS:
        if text and re.search(pattern, text):
            port = re.search(r"for [^ ]*?:(\d+)[: ]|0\.0\.0\.0:(\d+)", text)
            if port:
                board.words.setdefault("busy_port", port[1] or port[2])
            board.note(signs[trouble], f"{container.name}: {' '.join(text.split())[:220]}")
    if state.get("OOMKilled") or (container.exit_code == 137 and host.get("Memory")):
        board.note(
            signs[Trouble.OOM],
            f"{container.name}: OOMKilled={bool(state.get('OOMKilled'))}, exit code {container.exit_code}, "
            f"memory limit {int(host.get('Memory') or 0) >> 20} MiB",
        )
    if (
        who == "target"
        and container.state == "exited"
        and str((host.get("RestartPolicy") or {}).get("Name") or "no") == "no"
    ):
        finished = seconds_of(str(state.get("FinishedAt") or ""))
        boot = scene.host.boot_time
        if finished and boot and finished < boot + 30:
            board.note(
                Sign.TARGET_SINCE_BOOT,
                f"{container.name} stopped before the last start of the machine, and its restart policy is no",
            )
    _health(container, board, who)


def _health(container: Container, board: Board, who: Role) -> None:
    health = (container.raw.get("State") or {}).get("Health") or {}
    if container.health != "unhealthy" and not (container.health == "starting" and len(health.get("Log") or []) > 1):
        return
    output = " ".join(str(e.get("Output") or "") for e in (health.get("Log") or [])[-3:])
    said = f"{container.name} is {container.health}: {' '.join(output.split())[:160]}"
    if who == "server":
        board.note(Sign.SERVER_UNHEALTHY, said)
    else:
        board.remark(said)
    if who != "target" and re.search(
        r"executable file not found|curl: not found|wget: not found|not found in \$PATH|no such file or directory",
        output,
    ):
        tool = re.search(r'exec: "([^"]+)"|(curl|wget)', output)
        board.note(
            Sign.SERVER_HEALTH_TOOL if who == "server" else Sign.OWN_HEALTH_TOOL,
            f"the healthcheck of {container.name} cannot run: {' '.join(output.split())[:160]}",
            tool=(tool[1] or tool[2]) if tool else "curl",
        )
    if who == "server" and re.search(
        r"invalid character '<'|something went wrong, please see the ollama server logs|proxyconnect", output
    ):
        board.note(
            Sign.SERVER_HEALTH_PROXY,
            f"the healthcheck of {container.name} goes through its proxy: {' '.join(output.split())[:120]}",
        )


def _race(case: Case, target: Container, board: Board) -> None:
    """Did the consumer start before the server answered, and give up then?"""
    if case.container is None or case.container.state != "running" or target.state != "running":
        return
    service = case.service
    edge = (service.depends_on.get(target.service) if service else None) or {}
    if edge.get("condition") == "service_healthy":
        return
    ours, theirs = seconds_of(case.container.started_at), seconds_of(target.started_at)
    log = case.scene.logs.get(case.container.name, "")
    hosts = {case.host, *(str(e.get("IPAddress")) for e in target.networks.values())}
    if ours and theirs and ours <= theirs + 2 and logs.failed_towards(log, hosts, case.port):
        board.note(
            Sign.RACE,
            f"{case.container.name} started {max(0.0, theirs - ours):.1f} s before {target.name}, "
            "and its log holds a failed call to it",
        )


def seconds_of(text: str) -> float | None:
    """Seconds since the epoch of an RFC 3339 time of the engine; None where there is none (year 1 means never)."""
    try:
        moment = datetime.fromisoformat(re.sub(r"\.\d+", "", text))
    except ValueError:
        return None
    return moment.timestamp() if moment.year > 1 else None


def of_services(scene: Scene) -> list[Board]:
    """One board for each Ollama service (its own life, GPU, store), and one for the project as a whole."""
    boards = [_server(scene, name) for name in scene.ollama_services]
    for service in scene.project:
        board = _board(scene, service.name, "project")
        if service.name in scene.project.active:
            _creatable(scene, service, board, "own")
        if service.name not in scene.unasked:
            names.namespace_lost(scene, service.name, board)
        boards.append(board)
    return boards


def _board(scene: Scene, service: str, scope: Scope) -> Board:
    return Board(words={"service": service, "target_service": service, "compose": scene.compose}, scope=scope)


def _server(scene: Scene, name: str) -> Board:
    board = _board(scene, name, "server")
    service = scene.project.services.get(name)
    container = scene.container(name)
    if container is None or service is None:
        return board
    board.words["target_container"] = container.name
    engine.read(scene, board)
    of_container(scene, container, board, "server")
    logs.of_server(scene.logs.get(container.name, ""), board, container.name)
    _gpu(scene, container, board)
    _environment(container, board)
    _store(scene, container, board)
    return board


def _gpu(scene: Scene, container: Container, board: Board) -> None:
    host = container.raw.get("HostConfig") or {}
    requests = host.get("DeviceRequests") or []
    devices = host.get("Devices") or []
    info = scene.info
    nvidia = [d for d in scene.host.devices if "nvidia" in d]
    available = bool(nvidia) or bool(
        info and ("nvidia" in info.runtimes or any("nvidia" in d for d in info.cdi_devices))
    )
    if requests or devices or host.get("Runtime") == "nvidia":
        board.note(Sign.GPU_REQUESTED)
    elif available:
        what = nvidia[0] if nvidia else (info.cdi_devices[0] if info and info.cdi_devices else "the nvidia runtime")
        board.note(Sign.GPU_NOT_REQUESTED, f"the engine has a GPU ({what}), and {container.name} asks for none")
    if nvidia and "/dev/nvidia-uvm" not in nvidia:
        board.note(Sign.GPU_NO_UVM, "the host has no /dev/nvidia-uvm")


def _environment(container: Container, board: Board) -> None:
    env = container.environment
    proxy = next((k for k in ("http_proxy", "HTTP_PROXY") if env.get(k)), "")
    exceptions = (env.get("NO_PROXY") or env.get("no_proxy") or "").split(",")
    if proxy and not {"0.0.0.0", "*"} & {e.strip() for e in exceptions}:  # noqa: S104
        board.note(
            Sign.SERVER_HTTP_PROXY,
            f"{container.name} has {proxy}, and 0.0.0.0 is not in its NO_PROXY: its own CLI goes through the proxy",
            proxy_variable=proxy,
        )
    if env.get("OLLAMA_KEEP_ALIVE", "").strip() in ("0", "0s", "0m"):
        board.note(Sign.SERVER_KEEP_ALIVE_0, f"{container.name} has OLLAMA_KEEP_ALIVE={env['OLLAMA_KEEP_ALIVE']}")


def _store(scene: Scene, container: Container, board: Board) -> None:
    mounts = container.raw.get("Mounts") or []
    mine = {str(m.get("Name")) for m in mounts if m.get("Type") == "volume"}
    seen = scene.servers.get(container.name)
    for path, (free, total) in (seen.space if seen else {}).items():
        if total and (free < 64 << 20 or free / total < 0.01):
            board.note(Sign.STORE_FULL, f"{path} in {container.name} has {free >> 20} of {total >> 20} MiB free")
    before = _earlier_store(scene, mine)
    if before:
        owner = scene.volume_owners.get(before)
        whose = f"of the project {owner}, which has no container any more" if owner else "which no container uses"
        board.note(
            Sign.STORE_OTHER_VOLUME,
            f"the volume {before} is there, {whose}; {container.name} uses {', '.join(sorted(mine)) or 'none'}",
            volume=before,
            whose=whose,
        )


def _earlier_store(scene: Scene, mine: set[str]) -> str:
    """A volume that this store may have had before: of its name, or of this project, and nobody else's by now."""
    project = scene.project.name
    keys = {v.removeprefix(f"{project}_") for v in mine}
    used = {
        str(m.get("Name")) for c in scene.everything for m in c.raw.get("Mounts") or [] if m.get("Type") == "volume"
    }
    alive = {c.labels.get("com.docker.compose.project") for c in scene.others}
    for volume in scene.volumes:
        owner = scene.volume_owners.get(volume, "")
        if volume in used or volume in mine or owner in alive - {None}:
            continue
        named = any(re.search(rf"(?:^|[_-]){re.escape(k)}(?:$|[_-])", volume) for k in keys if k)
        if named or ("ollama" in volume.lower() and (owner == project or volume.startswith(f"{project}_"))):
            return volume
    return ""


def _creatable(scene: Scene, service: Service, board: Board, who: Role) -> None:
    """What would keep ``up`` from making this service's container; it is then named as ``service``."""
    if scene.container(service.name) is not None:
        return
    before = set(board.on)
    _blocked(scene, service, board, who)
    if board.on - before:
        board.words.setdefault("service", service.name)


def _blocked(scene: Scene, service: Service, board: Board, who: Role) -> None:
    name = service.container_name
    if name:
        rival = next((c for c in scene.others if c.name == name), None)
        if rival is not None:
            board.note(
                Sign.NAME_TAKEN,
                f"the container name {name} is taken by {rival.id[:12]}, of "
                + (rival.labels.get("com.docker.compose.project") or "no Compose project"),
                rival=rival.id[:12],
                name=name,
            )
    by_name = {str(n.get("Name")) for n in scene.networks}
    for key in service.networks:
        network = scene.project.networks.get(key) or {}
        wanted = str(network.get("name") or f"{scene.project.name}_{key}")
        if wanted in by_name:
            continue
        if network.get("external"):
            board.note(
                Sign.NETWORK_EXTERNAL_MISSING, f"the external network {wanted} is not on this engine", network=wanted
            )
        else:
            _subnet_free(scene, network, wanted, board)
    for entries in service.extra_hosts.values():
        if "host-gateway" in entries and not any(n.get("Name") == "bridge" for n in scene.networks):
            board.note(
                LIVES[who][Trouble.HOST_GATEWAY], "the engine has no default bridge, and host-gateway is its address"
            )
    _runtime(scene, service, board, who)
    absent = scene.images.get(service.image) is False and not service.raw.get("build")
    if absent and (said := scene.registry.get(service.image)):
        board.note(Sign.IMAGE_ABSENT, f"the image {service.image} is not on the engine", image=service.image)
        board.note(Sign.REGISTRY_UNREACHABLE, f"asked for {service.image}, its registry: {said}")


def _runtime(scene: Scene, service: Service, board: Board, who: Role) -> None:
    info = scene.info
    reserved = json.dumps((service.raw.get("deploy") or {}).get("resources") or {})
    wants = service.raw.get("runtime") == "nvidia" or '"nvidia"' in reserved
    if wants and info and "nvidia" not in info.runtimes:
        board.note(
            LIVES[who][Trouble.GPU_DRIVER],
            f"{service.name} reserves an NVIDIA GPU, and the engine has no nvidia runtime",
        )


def _subnet_free(scene: Scene, network: Any, wanted: str, board: Board) -> None:
    configured = [c.get("subnet") for c in (network.get("ipam") or {}).get("config") or [] if c.get("subnet")]
    taken = scene.subnets()
    for text in configured:
        subnet = ipaddress.ip_network(text, strict=False)
        rival = next((n for n, s, _ in taken if s.version == subnet.version and s.overlaps(subnet)), None)
        if rival:
            board.note(
                Sign.NETWORK_SUBNET_TAKEN,
                f"{wanted} is to have {text}, which overlaps the network {rival}",
                network=wanted,
                rival=rival,
                subnet=text,
            )
    if not configured and not _pool_left(scene):
        board.note(
            Sign.POOLS_EXHAUSTED,
            f"no subnet is left for {wanted}: {len(scene.networks)} networks take all of the address pools",
        )


def _pool_left(scene: Scene) -> bool:
    """Whether one of the daemon's address pools still holds a free subnet (moby's defaults where none is set)."""
    raw = (scene.info.raw.get("DefaultAddressPools") if scene.info else None) or [
        *({"Base": f"172.{n}.0.0/16", "Size": 16} for n in range(17, 32)),
        {"Base": "192.168.0.0/16", "Size": 20},
    ]
    taken = [s for _, s, _ in scene.subnets() if s.version == 4]
    for pool in raw:
        base = ipaddress.ip_network(pool["Base"], strict=False)
        if base.version != 4:
            continue
        for subnet in base.subnets(new_prefix=max(int(pool["Size"]), base.prefixlen)):
            if not any(subnet.overlaps(t) for t in taken):
                return True
    return False
