"""The gateway as a Compose service: what the override must say of it, ready to be dumped as YAML.

In: the configuration, the networks of the consumers (key in the merged project
→ the names that the gateway is to have there), the image, the secrets whose
values can be had. Out: the service and the project's top-level sections. The
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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.config.models import StackConfig
from stackctl.config.secrets import SecretRef
from stackctl.config.target import HOST_GATEWAY
from stackctl.config.url import HOST_ALIAS
from stackctl.gateway import scripts
from stackctl.gateway.credentials import GatewaySecret, gateway_secrets
from stackctl.gateway.names import LOCAL_ALIAS, NETWORK, SERVICE, VOLUME


@dataclass(frozen=True)
class Fragment:
    """Parts of the override: ``service`` is that of ``stackctl-gateway``, ``top`` maps a section to its entries.

    ``secrets`` are those that Compose must find in its environment when it makes
    the container (:func:`stackctl.gateway.control.compose_variables`).
    """

    service: dict[str, Any]
    top: dict[str, dict[str, Any]]
    secrets: tuple[GatewaySecret, ...]


def fragment(
    config: StackConfig,
    *,
    project: str,
    image: str,
    networks: Mapping[str, Sequence[str]],
    available: Collection[SecretRef] | None = None,
    publish: str | None = None,
) -> Fragment:
    """The gateway's service.

    ``available`` are the references whose values can be had (all when None):
    Compose refuses a secret whose variable is not set. ``publish`` is a port of
    the host for consumers on the host's own network, as Compose writes it
    (``127.0.0.1:11434``).
    """
    secrets = [s for s in gateway_secrets(config) if available is None or s.reference in available]
    labels = {"io.stackctl.project": project, "io.stackctl.role": "gateway"}
    joined: dict[str, Any] = {name: {"aliases": sorted(set(aliases))} for name, aliases in networks.items()}
    service: dict[str, Any] = {
        "image": image,
        "user": "haproxy",
        "entrypoint": ["sh", "-c", _escaped(scripts.BOOT)],
        "command": [],
        "restart": "unless-stopped",
        "stop_signal": "SIGTERM",
        "stop_grace_period": "5s",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "labels": labels,
        "extra_hosts": [f"{HOST_ALIAS}={HOST_GATEWAY}"],
        "networks": {**joined, NETWORK: None},
        "volumes": [{"type": "volume", "source": VOLUME, "target": "/var/lib/haproxy"}],
        "healthcheck": {
            "test": ["CMD", "sh", "-c", _escaped(scripts.HEALTHY)],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "20s",
            "start_interval": "200ms",
        },
    }
    if publish:
        service["ports"] = [f"{publish}:11434"]
    top: dict[str, dict[str, Any]] = {
        "networks": {NETWORK: {"labels": labels}},
        "volumes": {VOLUME: {"labels": labels}},
    }
    if secrets:
        service["secrets"] = [{"source": s.name, "target": s.name, "mode": 0o444} for s in secrets]
        top["secrets"] = {s.name: {"environment": s.variable} for s in secrets}
    return Fragment(service, top, tuple(secrets))


def local_networks(kept: Sequence[str] = ()) -> dict[str, Any]:
    """The networks of the stack's own Ollama behind the gateway: the gateway's, and those that it keeps.

    To be written with ``!override`` where the gateway takes over its name.
    """
    return {**dict.fromkeys(kept), NETWORK: {"aliases": [LOCAL_ALIAS]}}


def _escaped(script: str) -> str:
    """Compose reads ``$`` as a reference, ``$$`` as the sign."""
    return script.replace("$", "$$")


__all__ = ["SERVICE", "Fragment", "fragment", "local_networks"]
