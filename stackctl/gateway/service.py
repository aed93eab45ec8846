"""The gateway as a Compose service: what the override must say of it, ready to be dumped as YAML.

In: the networks of the consumers (key in the merged project
→ the names that the gateway is to have there), the image. Out: the service and the project's top-level sections. The
target is not an input: whatever it is, the service is the same, so that a
switch is a reload and replaces no container.

One address for good. A project whose consumers already say ``ollama`` keeps
that name: the gateway takes it on their networks (``aliases``), and the
project's own server leaves those networks for the gateway's own, where it is
``ollama-local`` (:func:`local_networks`; Compose gives a service its own name on
each of its networks, so it cannot stay). Otherwise consumers are told
``stackctl-gateway``, and the server may stay where it is and join the gateway's
network besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.config.target import HOST_GATEWAY
from stackctl.config.url import HOST_ALIAS
from stackctl.gateway import scripts
from stackctl.gateway.names import HOME, LOCAL_ALIAS, NETWORK, SERVICE, START_VARIABLE, VOLUME


@dataclass(frozen=True)
class Fragment:
    """Parts of the override: ``service`` is that of ``stackctl-gateway``, ``top`` maps a section to its entries."""

    service: dict[str, Any]
    top: dict[str, dict[str, Any]]


def fragment(
    *, project: str, image: str, networks: Mapping[str, Sequence[str]], publish: str | None = None
) -> Fragment:
    """The gateway's service.

    ``publish`` is a port of the host for consumers on the host's own network,
    as Compose writes it (``127.0.0.1:11434``).
    """
    labels = {"io.stackctl.project": project, "io.stackctl.role": "gateway"}
    joined: dict[str, Any] = {name: {"aliases": sorted(set(aliases))} for name, aliases in networks.items()}
    service: dict[str, Any] = {
        "image": image,
        "user": "haproxy",
        "entrypoint": ["sh", "-c", _escaped(f'eval "${START_VARIABLE}"')],
        "command": [],
        "restart": "unless-stopped",
        "stop_signal": "SIGTERM",
        "stop_grace_period": "5s",
        "read_only": True,
        "tmpfs": ["/tmp:size=16m"],  # noqa: S108  (inside the container)
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": "1g",
        "pids_limit": 256,
        "labels": labels,
        "extra_hosts": [f"{HOST_ALIAS}={HOST_GATEWAY}"],
        "networks": {**joined, NETWORK: None},
        "volumes": [{"type": "volume", "source": VOLUME, "target": HOME}],
        "healthcheck": {
            "test": ["CMD", "sh", "-c", _escaped(scripts.HEALTHY)],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "20s",
            "start_interval": "200ms",
        },
        "environment": {START_VARIABLE: _escaped(scripts.BOOT)},
    }
    if publish:
        service["ports"] = [f"{publish}:11434"]
    top: dict[str, dict[str, Any]] = {
        "networks": {NETWORK: {"labels": labels}},
        "volumes": {VOLUME: {"labels": labels}},
    }
    return Fragment(service, top)


def local_networks(kept: Sequence[str] = ()) -> dict[str, Any]:
    """The networks of the stack's own Ollama behind the gateway: the gateway's, and those that it keeps.

    To be written with ``!override`` where the gateway takes over its name.
    """
    return {**dict.fromkeys(kept), NETWORK: {"aliases": [LOCAL_ALIAS]}}


def _escaped(script: str) -> str:
    """Compose reads ``$`` as a reference, ``$$`` as the sign."""
    return script.replace("$", "$$")


__all__ = ["SERVICE", "Fragment", "fragment", "local_networks"]
