"""Which services are Ollama servers, and what each is like."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from stackctl.project.compose import Service
from stackctl.project.discovery import images
from stackctl.project.discovery.address import DEFAULT_PORT
from stackctl.project.discovery.findings import OllamaService
from stackctl.project.discovery.pullers import bind_port, is_puller, words_of
from stackctl.project.discovery.raw import RawProject
from stackctl.project.discovery.source import Source

_FROM_OLLAMA = r"(?im)^\s*FROM\s+(?:--\S+\s+)*(?P<image>\S+)"
_INSTALLS = r"ollama\.(?:com|ai)/(?:install\.sh|download)|ollama-linux-(?:amd64|arm64)|--from=\S*ollama/ollama"
_STARTS = r"(?im)^\s*(?:CMD|ENTRYPOINT)\b.*\b(?:ollama|serve)\b"
_SERVES = r"\bollama[\"',\s]+(?:serve|start)\b"
_COMMAND = r"(?im)^\s*(?:CMD|ENTRYPOINT)\b(?:.*\\\n)*.*"
_SCRIPT = r"[\w./-]+\.sh\b"
_SERVER_NAME = re.compile(
    r"^(?:ollama|.*[-_]ollama|ollama[-_](?:server|service|api|cpu|gpu|cuda|rocm|nvidia|amd|\d+))$"
)


def find_servers(source: Source, raw: RawProject) -> list[OllamaService]:
    """Every Ollama server of the project, services of inactive profiles too."""
    found = []
    for service in source.project:
        why = _why(service, source)
        if why and not is_puller(service, source.project):
            found.append(described(service, why, source, raw))
    return found


def choose_local(
    servers: Iterable[OllamaService], wanted: str = "", asked: Mapping[str, int] = MappingProxyType({})
) -> str:
    """The service that ``local`` means: the one wanted, else the one asked most that runs by default, else the first.

    ``asked`` is how many services ask each today, by ``service:NAME``.
    """
    lasting = [s for s in servers if not s.bundled]
    if any(s.service == wanted for s in lasting):
        return wanted
    ranked = sorted(lasting, key=lambda s: (not s.active, -asked.get(f"service:{s.service}", 0)))
    return ranked[0].service if ranked else ""


def _why(service: Service, source: Source) -> list[str]:
    """The reasons to take a service for an Ollama server; empty where it is none."""
    image = service.image
    if images.is_ollama(image) and not service.raw.get("build"):
        return [f"image {image}"]
    if images.bundles_ollama(image):
        return [f"image {image} carries an Ollama of its own"]
    line = words_of(service)
    if re.search(r"(?:^|[\s/;&|])ollama\s+(?:serve|start)\b", line):
        return ["its command starts `ollama serve`"]
    if built := _built_from(service, source):
        return built
    if images.is_ollama(image):
        return [f"image {image}"]
    return _by_traits(service) if not _is_something_else(image) else []


def _is_something_else(image: str) -> bool:
    return bool(image) and (images.is_gateway(image) or images.is_infrastructure(image))


def _built_from(service: Service, source: Source) -> list[str]:
    build = service.raw.get("build")
    if not isinstance(build, Mapping):
        return []
    text, name = dockerfile(build, source)
    if text is None:
        return []
    final = base_of(build, text)
    if images.is_ollama(final):
        return [f"built from {final} ({name})"]
    if starter := _starter(build, text, source):
        return [f"{name} starts `ollama serve`{starter}"]
    if re.search(_INSTALLS, text) and (re.search(_STARTS, text) or _SERVER_NAME.match(service.name)):
        return [f"{name} installs Ollama and starts it"]
    return []


def _starter(build: Mapping[str, Any], text: str, source: Source) -> str:
    """Where the image that a Dockerfile makes starts Ollama's server: a blank for its own command, or the script."""
    for command in re.findall(_COMMAND, text):
        if re.search(_SERVES, command):
            return " "
        for script in re.findall(_SCRIPT, command):
            path = posixpath.join(str(build.get("context") or ""), posixpath.basename(script))
            if re.search(_SERVES, source.reader.text(posixpath.normpath(path)) or ""):
                return f" in {source.shown(posixpath.normpath(path))}"
    return ""


def base_of(build: Mapping[str, Any], text: str) -> str:
    """The image that the last stage of a Dockerfile is made from, its arguments filled in; empty where none is seen."""
    arguments = {str(k): str(v) for k, v in (build.get("args") or {}).items() if v is not None}
    defaults: dict[str, str] = dict(re.findall(r"^\s*ARG\s+(\w+)=(\S+)", text, re.MULTILINE | re.IGNORECASE))
    stages = re.findall(_FROM_OLLAMA, text)
    if not stages:
        return ""
    return re.sub(
        r"\$\{?(\w+)(?::-[^}]*)?\}?", lambda m: arguments.get(m[1], str(defaults.get(m[1], ""))), str(stages[-1])
    )


def dockerfile(build: Mapping[str, Any], source: Source) -> tuple[str | None, str]:
    """The text of the Dockerfile that a resolved ``build`` uses, and its name as shown."""
    if inline := build.get("dockerfile_inline"):
        return str(inline), "dockerfile_inline"
    context = str(build.get("context") or "")
    path = posixpath.normpath(posixpath.join(context, str(build.get("dockerfile") or "Dockerfile")))
    return source.reader.text(path), source.shown(path)


def _by_traits(service: Service) -> list[str]:
    """For an image that says nothing: two traits of a server, one of them more than its name."""
    traits = []
    if any(str(v.get("target") or "").rstrip("/").endswith("/.ollama") for v in service.volumes):
        traits.append("a volume at .ollama")
    if any(int(p.get("target") or 0) == DEFAULT_PORT for p in service.ports) or str(DEFAULT_PORT) in map(
        str, service.raw.get("expose") or []
    ):
        traits.append(f"port {DEFAULT_PORT}")
    host = service.environment.get("OLLAMA_HOST")
    if host and bind_port(host) is not None:
        traits.append(f"OLLAMA_HOST={host}")
    test = " ".join(str(t) for t in (service.raw.get("healthcheck") or {}).get("test") or [])
    if (
        "ollama list" in test
        or "ollama ps" in test
        or f"localhost:{DEFAULT_PORT}" in test
        or f"127.0.0.1:{DEFAULT_PORT}" in test
    ):
        traits.append("its healthcheck asks Ollama")
    if any(key.startswith("OLLAMA_") and key.split("_", 1)[1] in _SERVER_ONLY for key in service.environment):
        traits.append("settings of the server in its environment")
    named = bool(_SERVER_NAME.match(service.name)) or service.container_name == "ollama"
    if named and service.raw.get("build"):
        traits.append("its name")
        return traits if len(traits) > 1 or _gpu(service) != "none" else []
    return traits if len(traits) > 1 else []


_SERVER_ONLY = {"KEEP_ALIVE", "NUM_PARALLEL", "MAX_LOADED_MODELS", "MODELS", "ORIGINS", "FLASH_ATTENTION", "MAX_QUEUE"}


def described(service: Service, why: list[str], source: Source, raw: RawProject) -> OllamaService:
    """What is known of a server; ``why`` it is one."""
    bundled = images.bundles_ollama(service.image)
    port = bind_port(service.environment.get("OLLAMA_HOST") or "") or DEFAULT_PORT
    place = raw.key(service.name, "image", "build", "command", "entrypoint")
    evidence = f"{source.shown(place.path)}:{place.line}" if place else f"service {service.name}"
    mounts = [
        f"{_source(v, source)}:{v.get('target')}"
        for v in service.volumes
        if "ollama" in str(v.get("target")) or bundled
    ]
    ports = [
        ":".join(str(x) for x in (p.get("host_ip"), p.get("published"), p.get("target")) if x) for p in service.ports
    ]
    check = service.raw.get("healthcheck") or {}
    test = "" if check.get("disable") else " ".join(str(t) for t in check.get("test") or [])
    return OllamaService(
        service.name,
        service.image,
        evidence,
        tuple(why),
        port,
        service.name in source.project.active,
        tuple(mounts),
        _gpu(service),
        test,
        tuple(ports),
        bundled,
    )


def _source(volume: Mapping[str, Any], source: Source) -> str:
    where = str(volume.get("source") or "(anonymous)")
    return source.shown(where) if volume.get("type") == "bind" else where


def _gpu(service: Service) -> str:
    """``nvidia``, ``cdi``, ``amd``, ``intel`` or ``none``, by what the service reserves."""
    reservations = (((service.raw.get("deploy") or {}).get("resources") or {}).get("reservations") or {}).get(
        "devices"
    ) or []
    devices = " ".join(str(d.get("source") if isinstance(d, Mapping) else d) for d in service.raw.get("devices") or [])
    if any(str(r.get("driver")) == "cdi" for r in reservations) or "nvidia.com/gpu" in devices:
        return "cdi"
    if (
        "/dev/kfd" in devices
        or "rocm" in images.tag(service.image)
        or any(str(r.get("driver")) == "amd" for r in reservations)
    ):
        return "amd"
    if reservations or service.raw.get("gpus") or service.raw.get("runtime") == "nvidia" or "/dev/nvidia" in devices:
        return "nvidia"
    return "intel" if "/dev/dri" in devices else "none"
