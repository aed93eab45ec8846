"""What the override depends on besides the files: what was observed of the engine and of the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

GpuKind = Literal["none", "keep", "nvidia", "cdi", "amd"]


@dataclass(frozen=True)
class Gpu:
    """The GPU decision for the local server.

    ``keep`` leaves what the project itself says. ``count`` is ``all`` or a
    number, ``device_ids`` names devices instead (CDI names for ``cdi``).
    ``groups`` are numeric IDs of the groups that own the AMD device files.
    """

    kind: GpuKind = "none"
    count: int | str | None = None
    device_ids: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class GatewayPart:
    """The gateway as the override carries it: its service, top-level sections, and what follows for others.

    Consumers are told ``host``; one on the host's own network is told the
    loopback port ``published``. The local server joins ``local_networks`` only.
    """

    name: str
    service: Mapping[str, Any]
    top: Mapping[str, Mapping[str, Any]]
    host: str
    published: int | None
    local_networks: Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """Observed inputs of :func:`stackctl.project.override.render`."""

    gpu: Gpu = field(default_factory=Gpu)
    default_image: str = "ollama/ollama:latest"
    gateway: GatewayPart | None = None
    references: Mapping[tuple[str | int, ...], str] = field(default_factory=dict)
    """Templates that refer to variables, as written, by their place below ``consumers``; Compose reads them."""
    client_proxies: Mapping[str, str] = field(default_factory=dict)
    """Proxy variables that the Docker client puts into every container that says nothing else."""
    start_interval: bool = True
    """Whether the engine knows ``healthcheck.start_interval`` (25 and later); Compose refuses it on an older one."""
    keep_local: bool = False
    """The local server stays although the target is another one: somebody needs it who cannot be pointed elsewhere."""
    awake: frozenset[str] = frozenset()
    """Services of profiles that are off which run all the same, and so are switched with the rest."""
    gpu_of_others: bool = True
    """Whether Ollama servers beside the local one get the GPU that the project asks for them."""
