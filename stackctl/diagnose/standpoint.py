"""Where a consumer is, or would be: what its addresses are to be tried from. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from stackctl.diagnose.answers import AimAnswers
from stackctl.diagnose.scene import Scene, UrlSetting
from stackctl.diagnose.signs.board import Case


@dataclass(frozen=True)
class Standpoint:
    """Where a consumer is, or would be.

    ``container`` is the ID of its running container, empty where there is none;
    then ``network`` is what a probe container joins (an engine network,
    ``host``, ``none``, ``container:ID``; empty where it does not exist yet) and
    ``extra_hosts`` (``name:address``) what it is told. ``image`` helps to find
    one that is there.
    """

    consumer: str
    container: str = ""
    network: str = ""
    extra_hosts: tuple[str, ...] = ()
    image: str = ""
    fresh: bool = False
    """Stand in the namespace from a container of our own even where exec would do."""


def standpoint(scene: Scene, consumer: str) -> Standpoint:
    """Where a consumer is: in its running container, else in the network that it would join."""
    container = scene.container(consumer)
    service = scene.project.services.get(consumer)
    case = Case(scene, UrlSetting(consumer, "", "", None), container, service, None, AimAnswers(), None)
    hosts = tuple(f"{name}:{address}" for name, address in case.extra_hosts.items())
    if container is not None and container.state in ("running", "paused"):
        attached = next((n for n in container.networks if n not in ("host", "none")), "")
        image, paused = str(container.raw.get("Image")), container.state == "paused"
        return Standpoint(consumer, container.id, attached, hosts, image, fresh=paused)
    if case.network_mode in ("host", "none"):
        return Standpoint(consumer, network=case.network_mode)
    if case.network_mode.startswith(("container:", "service:")):
        owner = scene.by_id(case.network_mode.partition(":")[2]) or scene.container(case.network_mode.partition(":")[2])
        running = owner is not None and owner.state == "running"
        return Standpoint(consumer, network=f"container:{owner.id}" if owner and running else "")
    there = {str(n.get("Name")): n for n in scene.networks}
    wanted = list(container.networks) if container else []
    if service is not None:
        wanted += [
            str((scene.project.networks.get(k) or {}).get("name") or f"{scene.project.name}_{k}")
            for k in service.networks
        ]
    open_first = sorted((n for n in dict.fromkeys(wanted) if n in there), key=lambda n: bool(there[n].get("Internal")))
    network = open_first[0] if open_first else ""
    setting = [t.url.host for t in scene.settings if t.consumer == consumer and t.url]
    if not network and "bridge" in there and not any(h in scene.project.services for h in setting):
        # Its network is yet to be made; what lies outside Docker is reached from the default bridge the same way.
        network = "bridge"
    return Standpoint(consumer, network=network, extra_hosts=hosts)
