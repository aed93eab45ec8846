"""The seal: all that a verified ``up`` rested on, so that the next one sees at a glance that nothing has moved.

It names every file that was read, every container and image that was there, and
what the consumers were told. While all of it is as it was, rendering, resolving and
hashing would come to the same end; what is left is to ask each consumer's Ollama,
from inside the consumer's network. Any doubt breaks the seal, and ``up`` goes the
whole way, which also says what is wrong. So nothing in here is ever a failure.

Nothing heavy is imported; that is the point. Sealing is in :mod:`stackctl.commands.reconcile.sealing`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from stackctl import __version__
from stackctl.diagnose import reply
from stackctl.nearby import LOCK, SEAL, Answer, Get, Nearby, Room
from stackctl.outcome import Outcome

SCHEMA = "stackctl.seal/1"
PASSING = frozenset({"_", "OLDPWD", "SHLVL", "COLUMNS", "LINES"})
"""Variables that differ from one call to the next and mean nothing to Compose files."""


class Told(NamedTuple):
    """A consumer: its container, the URL that it is told, and the two questions whose answers tell that it is served.

    ``own`` is its own check by HTTP, or None.
    """

    container: str
    url: str
    version: Get
    models: Get
    own: Get | None = None


class Seal(NamedTuple):
    """See the module.

    ``config`` is the absolute path of ``stackctl.yaml``, ``variables`` the digest of the process environment
    with ``salt``. ``marks`` are paths with what tells that they are unchanged, ``containers`` those of
    ``project`` by ID with :func:`facts`, ``images`` references with the IDs behind them. ``engine`` is
    :func:`abilities`, or None where the target does not depend on them. ``told`` is by consumer, ``data``
    the JSON document and ``title`` the first line of an ``up`` that has nothing to do.
    """

    config: str
    environment: str | None
    profile: str
    project: str
    variables: str
    salt: str
    title: str
    marks: Mapping[str, str]
    containers: Mapping[str, Any]
    images: Mapping[str, str]
    engine: Any
    told: Mapping[str, Told]
    models: Sequence[str]
    data: Mapping[str, Any]
    program: str = __version__

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps({"schema": SCHEMA, **self._asdict()}, indent=1, ensure_ascii=False) + "\n"


def parse(text: str) -> Seal | None:
    """Read ``seal.json``; None for one of another version, or of another hand."""
    try:
        document = json.loads(text)
        if document.pop("schema") != SCHEMA or document["program"] != __version__:
            return None
        document["told"] = {name: _told(*told) for name, told in document["told"].items()}
        return Seal(**document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _told(container: str, url: str, version: Sequence[Any], models: Sequence[Any], own: Sequence[Any] | None) -> Told:
    return Told(container, url, Get(*version), Get(*models), Get(*own) if own else None)


class Asked(NamedTuple):
    """An ``up`` as it is asked for; None where the words leave it open."""

    config: str
    environment: str | None
    profile: str | None
    variables: Mapping[str, str]


def still(asked: Asked, near: Nearby, directory: str) -> Outcome | None:
    """What ``up`` has to say where nothing has moved and every consumer reaches its Ollama; None in any doubt.

    ``directory`` is ``.stackctl``. Whoever holds the project's lock is left to the whole way, which names them.
    """
    try:
        text = near.text(f"{directory}/{SEAL}")
        seal = parse(text) if text and not near.text(f"{directory}/{LOCK}") else None
        if seal is None or not _fits(seal, asked):
            return None
        with ThreadPoolExecutor(2) as pool:
            rooms, able = pool.submit(_standing, seal, near), pool.submit(_able, seal, near)
            from stackctl.commands.reconcile.report import nothing_to_do  # noqa: PLC0415  (loads while the engine is asked)

            moved = any(near.mark(path) != mark for path, mark in seal.marks.items())
            found = None if moved or not able.result() else rooms.result()
        reached = _reached(seal, near, found) if found is not None else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return None if reached is None else nothing_to_do(seal.title, seal.data, reached)


def digest(variables: Mapping[str, str], salt: str) -> str:
    """Of an environment; of its values nothing can be told from it, but that they are the same."""
    kept = sorted((k, v) for k, v in variables.items() if k not in PASSING)
    return hashlib.sha256(json.dumps([salt, kept]).encode()).hexdigest()


def facts(raw: Mapping[str, Any]) -> list[Any]:
    """What makes a container the one that was verified, in the state in which it was; from ``docker inspect``."""
    state = raw["State"]
    networks = raw["NetworkSettings"]["Networks"]
    return [
        raw["Image"],
        [state["Status"], state["StartedAt"], (state.get("Health") or {}).get("Status")],
        (raw["Config"].get("Labels") or {}).get("com.docker.compose.config-hash"),
        [[name, networks[name]["NetworkID"], networks[name]["IPAddress"]] for name in sorted(networks)],
    ]


def abilities(raw: Mapping[str, Any]) -> list[Any]:
    """What the rendering of a local server takes from ``docker info``."""
    devices = [device.get("ID") for device in raw.get("DiscoveredDevices") or []]
    return [raw.get("ServerVersion"), raw.get("OperatingSystem"), sorted(raw.get("Runtimes") or []), devices]


def _room(raw: Mapping[str, Any]) -> Room:
    """Where a container's network is entered, from ``docker inspect``."""
    return Room(raw["NetworkSettings"].get("SandboxKey") or "", raw["HostsPath"], raw["ResolvConfPath"])


def _fits(seal: Seal, asked: Asked) -> bool:
    return (
        seal.config == asked.config
        and asked.environment in (None, seal.environment)
        and asked.profile in (None, seal.profile)
        and seal.variables == digest(asked.variables, seal.salt)
    )


def _able(seal: Seal, near: Nearby) -> bool:
    """Whether the engine can do what it could."""
    return seal.engine is None or abilities(near.get("/info")) == seal.engine


def _standing(seal: Seal, near: Nearby) -> dict[str, Room] | None:
    """The containers by ID, where they are those of the seal, each as it was; None otherwise."""
    wanted = json.dumps({"label": [f"com.docker.compose.project={seal.project}"]})
    listed = near.get(f"/containers/json?all=1&filters={_quoted(wanted)}")
    if {c["Id"] for c in listed if c["Labels"].get("com.docker.compose.oneoff") != "True"} != set(seal.containers):
        return None
    found = {name: near.get(f"/containers/{name}/json") for name in seal.containers}
    if any(facts(raw) != seal.containers[name] for name, raw in found.items()):
        return None
    if any(near.get(f"/images/{_quoted(name)}/json")["Id"] != image for name, image in seal.images.items()):
        return None
    return {name: _room(raw) for name, raw in found.items()}


def _quoted(text: str) -> str:
    # Every byte of it: urllib takes as long to load as the engine takes to answer.
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _reached(seal: Seal, near: Nearby, rooms: Mapping[str, Room]) -> dict[str, tuple[str, str, float]] | None:
    """Consumer to its URL, the version that answers and the milliseconds that took; None where one is not served."""
    questions = {n: [t.version, t.models, *([t.own] if t.own else [])] for n, t in seal.told.items()}
    answers = near.look([(rooms[seal.told[name].container], asked) for name, asked in questions.items()])
    found: dict[str, tuple[str, str, float]] = {}
    for (name, told), heard in zip(seal.told.items(), answers, strict=True):
        version = _served(seal, heard) if heard else None
        if version is None:
            return None
        found[name] = (told.url, version, sum(answer.ms for answer in heard or []))
    return found


def _served(seal: Seal, heard: Sequence[Answer]) -> str | None:
    """The version of the Ollama that answers, has the models, and satisfies the consumer's own check."""
    version, models, *own = [reply.read(answer.raw) for answer in heard]
    names = reply.model_names(models)
    missing = {reply.full_name(m) for m in seal.models} - {reply.full_name(n) for n in names or []}
    if names is None or missing or not all(200 <= answer.status < 300 for answer in own):
        return None
    return reply.version(version)
