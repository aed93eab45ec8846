"""The local Ollama container in the override: the project's own service, or one that is added.

Facts about the image: no curl, no wget and no HEALTHCHECK; ``ollama list``
fails without a server; root, models under ``/root/.ollama`` (Dockerfile of
ollama/ollama v0.33). Variables: its ``envconfig/config.go``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.config.models import Local, StackConfig, Tuning
from stackctl.config.url import DEFAULT_PORT, HOST_ALIAS, OllamaUrl
from stackctl.project.compose import ComposeProject, Service
from stackctl.project.facts import Gpu
from stackctl.project.yamltext import Override, Reset, Text

STORE = "/root/.ollama"
DEFAULT_VOLUME = "ollama_data"
OFFICIAL = re.compile(r"(?:^|/)ollama/ollama(?::|@|$)")
OFF_PROFILE = "stackctl-off"
_GPU_KEYS = ("gpus", "runtime")
_NEEDS_ABSENT_TOOL = re.compile(r"\b(?:curl|wget|python3?|nc)\b")

HEALTHCHECK: Mapping[str, Any] = {
    "test": ["CMD", "ollama", "list"],
    "interval": "10s",
    "timeout": "5s",
    "retries": 12,
    "start_period": "60s",
    # The first answer comes seconds after the start; asking each second costs nothing until then.
    "start_interval": "1s",
}


def server_port(service: Service | None) -> int:
    """The port that the server in this service listens on, from its own ``OLLAMA_HOST``."""
    value = (service.environment.get("OLLAMA_HOST") or "").strip(" \"'") if service else ""
    match = re.search(r":(\d{1,5})$", value)
    if match and 0 < int(match[1]) < 65536:
        return int(match[1])
    return {"http": 80, "https": 443}.get(value.partition("://")[0] if "://" in value else "", DEFAULT_PORT)


@dataclass(frozen=True)
class Listener:
    """Where the project's own server listens: who finds it under which address.

    ``owner`` is the service whose network namespace it is in (itself, or the
    ``X`` of ``network_mode: service:X``), ``names`` are those under which that
    one resolves, ``published`` its ports on the host. ``is_machine`` tells
    whether an address is one of the machine that the engine runs on.
    """

    project: ComposeProject
    service: str
    owner: Service
    port: int
    names: frozenset[str]
    published: frozenset[int]
    is_machine: Callable[[str], bool] = field(default=lambda _address: False, repr=False)

    @property
    def on_host(self) -> bool:
        """Whether it is on the host's own network."""
        return self.owner.network_mode == "host"

    def answers(self, host: str, port: int | None, consumer: str) -> bool:
        """Whether an address leads to the server, said by the service ``consumer``."""
        beside = self.project.services.get(self.project.network_owner(consumer))
        if beside is not None and _is_loopback(host) and beside.network_mode != "host":
            return beside.name == self.owner.name and port in (None, self.port)
        return self.answers_outside(host, port, near=True)

    def answers_outside(self, host: str, port: int | None, *, near: bool) -> bool:
        """The same from any place: ``near`` is a network of the project, where its names resolve."""
        if near and host.lower() in self.names:
            return port in (None, self.port)
        return port in self.published and (_is_loopback(host) or host.lower() in MACHINE or self.is_machine(host))


MACHINE = frozenset({HOST_ALIAS, "gateway.docker.internal", "host.containers.internal", "host.lima.internal"})


def _is_loopback(host: str) -> bool:
    return host.lower() == "localhost" or host.startswith("127.") or host == "::1"


def listener(
    project: ComposeProject, config: StackConfig, is_machine: Callable[[str], bool] = lambda _address: False
) -> Listener | None:
    """Where the project's own server listens; None where the project has none of its own."""
    own = project.services.get(config.local.service)
    if own is None:
        return None
    owner = project.services.get(project.network_owner(own.name), own)
    port = server_port(own)
    names = {name.lower() for s in (own, owner) for name in s.answers_to()}
    for s in (own, owner):
        if not s.container_name:
            names |= {f"{project.name}-{s.name}-1", f"{project.name}_{s.name}_1"}
        for link in (s.raw.get("networks") or {}).values():
            names |= {str(link[key]) for key in ("ipv4_address", "ipv6_address") if (link or {}).get(key)}
    if owner.network_mode == "host":
        published = {port}
    else:
        ports = [p for p in owner.ports if p.get("target") == port]
        published = {int(p["published"]) for p in ports if str(p.get("published") or "").isdigit()}
        if config.local.publish:
            published.add(int(config.local.publish.rpartition(":")[2]))
    return Listener(project, own.name, owner, port, frozenset(names), frozenset(published), is_machine)


def local_address(project: ComposeProject, config: StackConfig, consumer: str) -> OllamaUrl:
    """The address at which a consumer reaches the local server: what to tell it.

    Within one network namespace that is 127.0.0.1, and the name of the namespace's
    owner from outside of it; a server on the host's network is met at the host. A
    consumer on the host's network needs a published port, which is the caller's to see to.
    """
    found = listener(project, config)
    if found is None:
        return OllamaUrl("http", config.local.service, DEFAULT_PORT)
    beside = project.services.get(project.network_owner(consumer))
    if beside is not None and (beside.network_mode == "host" or beside.name == found.owner.name):
        return OllamaUrl("http", "127.0.0.1", found.port)
    if found.on_host:
        return OllamaUrl("http", HOST_ALIAS, found.port)
    host = found.owner.network_mode.removeprefix("container:")
    return OllamaUrl("http", host if host != found.owner.network_mode else found.owner.name, found.port)


def uses_gpu(service: Service) -> bool:
    """Whether the project itself asks for a GPU in this service, in any of Compose's ways."""
    return bool(_reserved(service) or any(service.raw.get(k) for k in _GPU_KEYS) or _gpu_devices(service))


def _reserved(service: Service) -> list[dict[str, Any]]:
    here: Any = service.raw
    for key in ("deploy", "resources", "reservations", "devices"):
        here = (here or {}).get(key)
    return [d for d in here or [] if isinstance(d, dict)]


def _gpu_devices(service: Service) -> list[Any]:
    return [d for d in service.raw.get("devices") or [] if re.search(r"kfd|dri|nvidia|gpu=", str(d))]


def tuning_variables(tuning: Tuning) -> dict[str, Text]:
    """The variables that Ollama reads for the tuning given, and no others."""
    values: dict[str, Any] = {
        "OLLAMA_NUM_PARALLEL": tuning.num_parallel,
        "OLLAMA_MAX_LOADED_MODELS": tuning.max_loaded_models,
        "OLLAMA_MAX_QUEUE": tuning.max_queue,
        "OLLAMA_KEEP_ALIVE": tuning.keep_alive,
        "OLLAMA_CONTEXT_LENGTH": tuning.context_length,
        "OLLAMA_LOAD_TIMEOUT": tuning.load_timeout,
        "OLLAMA_FLASH_ATTENTION": tuning.flash_attention,
        "OLLAMA_KV_CACHE_TYPE": tuning.kv_cache_type,
        "OLLAMA_GPU_OVERHEAD": tuning.gpu_overhead,
        "OLLAMA_SCHED_SPREAD": tuning.sched_spread,
        "OLLAMA_ORIGINS": ",".join(tuning.origins) if tuning.origins else None,
        "OLLAMA_DEBUG": tuning.debug,
    }
    return {
        name: Text(int(value) if isinstance(value, bool) else value)
        for name, value in values.items()
        if value is not None
    }


def fragment(
    project: ComposeProject, local: Local, gpu: Gpu, networks: list[str], default_image: str, *, name: str | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """``(service, volumes)``: what the override says about the local server, and top-level volumes that it needs.

    ``networks`` are keys of every network on which a consumer must find it.
    ``name`` is the service's key where it is not ``local.service``.
    """
    own = project.services.get(name or local.service)
    if own is None:
        return _added(project, local, gpu, networks, default_image)
    return _adjusted(own, project, local, gpu, networks)


def _added(
    project: ComposeProject, local: Local, gpu: Gpu, networks: list[str], default_image: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    volume = local.volume or DEFAULT_VOLUME
    service: dict[str, Any] = {
        "image": Text(_image_for(local.image or default_image, gpu)),
        "restart": "unless-stopped",
        "labels": {"io.stackctl.project": Text(project.name), "io.stackctl.role": Text("ollama")},
    }
    variables = tuning_variables(local.tuning)
    if variables:
        service["environment"] = variables
    service["volumes"] = [Text(f"{volume}:{STORE}")]
    if local.publish:
        service["ports"] = [Text(_published(local.publish, DEFAULT_PORT))]
    service["healthcheck"] = dict(HEALTHCHECK)
    if networks:
        service["networks"] = dict.fromkeys(networks)
    service.update(_gpu(gpu))
    return service, {} if volume in project.volumes else {volume: None}


def _adjusted(
    own: Service, project: ComposeProject, local: Local, gpu: Gpu, networks: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    service: dict[str, Any] = {}
    volumes: dict[str, Any] = {}
    image = local.image or own.image
    if image and _image_for(image, gpu) != own.image:
        service["image"] = Text(_image_for(image, gpu))
    if own.name not in project.active:
        service["profiles"] = Override([])
    variables = tuning_variables(local.tuning)
    if variables:
        service["environment"] = variables
    if local.volume and not any(v.get("target") == STORE for v in own.volumes):
        service["volumes"] = [Text(f"{local.volume}:{STORE}")]
        volumes = {} if local.volume in project.volumes else {local.volume: None}
    if local.publish:
        _publish(service, own, _published(local.publish, server_port(own)))
    if _health_unfit(own, project):
        check = dict(HEALTHCHECK)
        if own.raw.get("healthcheck"):
            service["healthcheck"] = Override(check)
        else:
            service["healthcheck"] = check
    missing = [n for n in networks if n not in own.networks]
    if missing and not own.network_mode:
        service["networks"] = dict.fromkeys([*own.networks, *missing])
    if gpu.kind != "keep":
        service.update(gpu_cleared(own) if gpu.kind == "none" else {**gpu_cleared(own), **_gpu(gpu)})
    return service, volumes


def _health_unfit(own: Service, project: ComposeProject) -> bool:
    """A healthcheck that needs a program which the official image does not have, or none where somebody waits for it.

    Elsewhere none is added: it would make the container anew, and ``up`` asks the server itself.
    """
    check = own.raw.get("healthcheck") or {}
    if check.get("disable"):
        return False
    test = check.get("test")
    words = " ".join(test) if isinstance(test, list) else str(test or "")
    if not words:
        edges = (s.depends_on.get(own.name, {}) for s in project)
        return bool(OFFICIAL.search(own.image)) and any(e.get("condition") == "service_healthy" for e in edges)
    return bool(OFFICIAL.search(own.image) and _NEEDS_ABSENT_TOOL.search(words))


def _image_for(image: str, gpu: Gpu) -> str:
    """The ROCm variant of an official image for AMD; any other image is the user's to choose."""
    if gpu.kind != "amd" or not OFFICIAL.search(image) or "rocm" in image or "@" in image:
        return image
    repository, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:
        return f"{image}:rocm"
    return f"{repository}:rocm" if tag == "latest" else f"{image}-rocm"


def _gpu(gpu: Gpu) -> dict[str, Any]:
    if gpu.kind == "nvidia":
        device: dict[str, Any] = {"driver": "nvidia"}
        if gpu.device_ids:
            device["device_ids"] = [Text(d) for d in gpu.device_ids]
        else:
            device["count"] = gpu.count or "all"
        return _reservation({**device, "capabilities": ["gpu"]})
    if gpu.kind == "cdi":
        return _reservation({"driver": "cdi", "device_ids": [Text(d) for d in gpu.device_ids], "capabilities": ["gpu"]})
    if gpu.kind == "amd":
        service: dict[str, Any] = {"devices": [Text("/dev/kfd:/dev/kfd"), Text("/dev/dri:/dev/dri")]}
        if gpu.groups:
            service["group_add"] = [Text(g) for g in gpu.groups]
        return service
    return {}


def _reservation(device: dict[str, Any]) -> dict[str, Any]:
    return {"deploy": {"resources": {"reservations": {"devices": Override([device])}}}}


def gpu_cleared(own: Service) -> dict[str, Any]:
    """What takes every GPU that the project asks for out of a service."""
    cleared: dict[str, Any] = {}
    if _reserved(own):
        cleared["deploy"] = {"resources": {"reservations": {"devices": Override([])}}}
    for key in _GPU_KEYS:
        if own.raw.get(key):
            cleared[key] = Reset()
    devices = own.raw.get("devices") or []
    if gpu_devices := _gpu_devices(own):
        cleared["devices"] = Override([_short_device(d) for d in devices if d not in gpu_devices])
    return cleared


def _short_device(device: Any) -> Any:
    if not isinstance(device, dict):
        return device
    return Text(":".join(str(device[k]) for k in ("source", "target", "permissions") if device.get(k)))


def _published(publish: str, target: int) -> str:
    return f"{publish}:{target}"


def _publish(service: dict[str, Any], own: Service, mapping: str) -> None:
    """Add the mapping; in the place of one that takes the same port on other addresses, which would clash."""
    if any(_same_port(p, mapping) for p in own.ports):
        return
    port = mapping.split(":")[-2]
    kept = [p for p in own.ports if str(p.get("published")) != port]
    if len(kept) == len(own.ports):
        service["ports"] = [Text(mapping)]
        return
    others = [{k: Text(v) if isinstance(v, str) else v for k, v in p.items()} for p in kept]
    service["ports"] = Override([*others, Text(mapping)])


def promises_not_kept(own: Service | None, local: Local) -> list[str]:
    """What of the project's own server will not be as its file seems to promise, a line each."""
    said = []
    if own is not None and not keeps_models(own) and not local.volume:
        said.append(
            f"{own.name} has no volume at {STORE}: its models go when its container goes "
            "(`local: {volume: ollama_data}` keeps them)"
        )
    if own is not None and "OLLAMA_NUM_CTX" in own.environment:
        said.append(
            f"{own.name} sets OLLAMA_NUM_CTX, which Ollama does not read; the variable is OLLAMA_CONTEXT_LENGTH"
        )
    return said


def keeps_models(service: Service) -> bool:
    """Whether its models outlive its container."""
    store = service.environment.get("OLLAMA_MODELS") or f"{STORE}/models"
    mounts = [str(v.get("target") or "").rstrip("/") for v in service.volumes]
    return any(store == mount or store.startswith(f"{mount}/") for mount in mounts)


def _same_port(port: Mapping[str, Any], mapping: str) -> bool:
    host_ip = port.get("host_ip") or ""
    host = f"[{host_ip}]" if ":" in host_ip else host_ip
    written = f"{host + ':' if host else ''}{port.get('published')}:{port.get('target')}"
    return written == mapping
