"""A small world to break at will: Compose and an engine in one JSON file, so that a killed process leaves it behind.

It stands in for Docker only to force a failure at effect *n*; that things work
is shown on the real engine (tests/e2e).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stackctl.adapters.files import LocalFiles
from stackctl.adapters.trust import TrustStore
from stackctl.commands.context.session import Session
from stackctl.errors import StepFailed
from stackctl.ports import Completed, ComposeCall, Container, EngineInfo


class Tag:
    def __init__(self, kind: str, value: Any) -> None:
        self.kind, self.value = kind, value


class Loader(yaml.SafeLoader):
    pass


def _tagged(loader: Loader, suffix: str, node: yaml.Node) -> Tag:
    if isinstance(node, yaml.MappingNode):
        value: Any = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = None
    return Tag(suffix, value)


Loader.add_multi_constructor("!", _tagged)


def merge(base: Any, over: Any) -> Any:
    """Compose's merge, as far as stackctl's overrides use it."""
    if isinstance(over, Tag):
        return None if over.kind == "reset" else over.value
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for key, value in over.items():
            if isinstance(value, Tag) and value.kind == "reset":
                merged.pop(key, None)
            else:
                merged[key] = merge(merged.get(key), value)
        return merged
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    return plain(over)


def plain(value: Any) -> Any:
    if isinstance(value, Tag):
        return value.value
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if not (isinstance(v, Tag) and v.kind == "reset")}
    return value


class Killed(BaseException):
    pass


@dataclass
class Breaker:
    """Counts effects; breaks the one numbered ``at`` in the manner of ``how``."""

    at: int = 0
    how: str = "none"
    count: int = 0
    log: list[str] = field(default_factory=list)
    before: bool = True

    def effect(self, what: str, act: Callable[[], Any]) -> Any:
        self.count += 1
        self.log.append(what)
        if self.count != self.at:
            return act()
        how, self.how = self.how, "none"
        if how == "exception":
            raise StepFailed(f"forced at {what}")
        if how == "interrupt":
            act()
            raise KeyboardInterrupt
        if how == "kill-before":
            os._exit(137)
        if how == "kill-after":
            act()
            os._exit(137)
        return act()


class World:
    """Behind :class:`stackctl.ports.Engine`; every method that changes something is an effect."""

    def __init__(self, path: Path, breaker: Breaker) -> None:
        self.path, self.breaker = path, breaker
        if not path.exists():
            self._save({"containers": [], "networks": {"bridge": {}}, "serial": 0, "gateway": None})

    # -- the world itself

    def load(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())

    def _save(self, world: dict[str, Any]) -> None:
        self.path.write_text(json.dumps(world))

    def _merged(self, call: ComposeCall) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for name in call.files:
            # The loader is a SafeLoader; it only keeps the tags.
            document = merge(document, yaml.load(Path(name).read_text(), Loader=Loader) or {})
        for service in document.get("services", {}).values():
            environment = service.get("environment") or {}
            if isinstance(environment, list):
                environment = dict(entry.partition("=")[::2] for entry in environment)
            service["environment"] = {
                k: re.sub(r"\$\{(\w+)\}", lambda m: call.variables.get(m[1], ""), str(v))
                for k, v in environment.items()
            }
            needs = service.get("depends_on") or {}
            service["depends_on"] = {n: {} for n in needs} if isinstance(needs, list) else needs
            service.setdefault("networks", {"default": None})
        return document

    def _active(self, document: Mapping[str, Any], call: ComposeCall) -> dict[str, Any]:
        return {
            n: s
            for n, s in document["services"].items()
            if "*" in call.profiles or not s.get("profiles") or set(s["profiles"]) & set(call.profiles)
        }

    @staticmethod
    def _hash(service: Mapping[str, Any]) -> str:
        kept = {k: v for k, v in service.items() if k not in ("depends_on", "profiles")}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    # -- reading

    def compose_version(self) -> str:
        return "2.40.3"

    def get_ready(self) -> None:
        pass

    def connect_meanwhile(self) -> None:
        pass

    def info(self) -> EngineInfo:
        return EngineInfo("28.5.2", "2.40.3", True, False, False, (), ())

    def config(self, call: ComposeCall, *, all_profiles: bool = False, **_more: Any) -> dict[str, Any]:
        document = self._merged(call)
        if not all_profiles:
            document["services"] = self._active(document, call)
        document["networks"] = {"default": {"name": "world_default"}}
        return {"name": "world", **document}

    def hashes(self, call: ComposeCall) -> dict[str, str]:
        return {n: self._hash(s) for n, s in self._active(self._merged(call), call).items()}

    def containers(self, project: str) -> list[Container]:
        return [Container(raw) for raw in self.load()["containers"]]

    def being_stopped(self, containers: Sequence[str]) -> list[str]:
        return []  # an effect on this world has come about, or has not

    def inspect(self, containers: Sequence[str]) -> list[Container]:
        return [c for c in self.containers("world") if c.id in containers or c.name in containers]

    def network(self, name: str) -> dict[str, Any] | None:
        return self.load()["networks"].get(name)

    def networks(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        return []

    def image(self, reference: str) -> dict[str, Any] | None:
        return {"Id": f"image-of-{reference}"}

    def logs(self, container: str, *, tail: int = 100) -> str:
        return ""

    # -- effects

    def compose(self, call: ComposeCall, arguments: Sequence[str], **_more: Any) -> Completed:
        words = [a for a in arguments if not a.startswith("-") and a != "plain"]
        act = (lambda: self._up(call, words[1:])) if words[0] == "up" else self._down
        self.breaker.effect(f"compose {' '.join(words)}", act)
        return Completed(0)

    def _up(self, call: ComposeCall, services: Sequence[str]) -> None:
        world = self.load()
        document = self._merged(call)
        active = self._active(document, call)
        for name in services or active:
            service = document["services"][name]
            digest = self._hash(service)
            present = [c for c in world["containers"] if c["Config"]["Labels"]["com.docker.compose.service"] == name]
            if present and present[0]["Config"]["Labels"]["com.docker.compose.config-hash"] == digest:
                present[0]["State"]["Status"] = "running"
                continue
            world["containers"] = [c for c in world["containers"] if c not in present]
            world["serial"] += 1
            world["containers"].append(
                {
                    "Id": f"id-{world['serial']}",
                    "Name": f"/world-{name}-1",
                    "Image": f"image-of-{service.get('image')}",
                    "State": {"Status": "running", "StartedAt": str(world["serial"])},
                    "HostConfig": {"RestartPolicy": {"Name": "no"}},
                    "Config": {
                        "Env": [f"{k}={v}" for k, v in service["environment"].items()],
                        "Labels": {
                            "com.docker.compose.project": "world",
                            "com.docker.compose.service": name,
                            "com.docker.compose.config-hash": digest,
                        },
                    },
                }
            )
        self._save(world)

    def _down(self) -> None:
        self._save({**self.load(), "containers": []})

    def stop(self, container: str, *, timeout: int = 10) -> None:
        self.breaker.effect(
            f"stop {container}", lambda: self._change(container, lambda c: c["State"].update(Status="exited"))
        )

    def remove(self, container: str, *, force: bool = False) -> None:
        def act() -> None:
            world = self.load()
            world["containers"] = [c for c in world["containers"] if c["Name"] != f"/{container}"]
            self._save(world)

        self.breaker.effect(f"remove {container}", act)

    def _change(self, container: str, change: Callable[[dict[str, Any]], None]) -> None:
        world = self.load()
        for raw in world["containers"]:
            if raw["Name"] == f"/{container}":
                change(raw)
        self._save(world)

    def create_network(self, name: str, *, labels: Mapping[str, str]) -> None:
        def act() -> None:
            world = self.load()
            world["networks"][name] = {"Labels": dict(labels)}
            self._save(world)

        self.breaker.effect(f"create network {name}", act)

    def remove_network(self, name: str) -> None:
        def act() -> None:
            world = self.load()
            world["networks"].pop(name, None)
            self._save(world)

        self.breaker.effect(f"remove network {name}", act)


class BreakableFiles(LocalFiles):
    """Real files; each write, append and removal inside ``.stackctl`` is an effect."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker

    def write(self, path: Path, data: bytes, *, mode: int = 0o600) -> bool:
        return bool(self.breaker.effect(f"write {path.name}", lambda: LocalFiles.write(self, path, data, mode=mode)))

    def append(self, path: Path, line: str) -> None:
        self.breaker.effect(f"append {path.name}", lambda: LocalFiles.append(self, path, line))

    def remove(self, path: Path) -> None:
        self.breaker.effect(f"remove {path.name}", lambda: LocalFiles.remove(self, path))


class Silent:
    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        yield

    def __getattr__(self, _name: str) -> Callable[..., bool]:
        return lambda *_a, **_k: False


class Names:
    def resolve(self, name: str) -> list[str]:
        return []

    def is_own(self, host: str) -> bool:
        return False

    def device_group(self, path: str) -> int | None:
        return None


def session(directory: Path, world: World, breaker: Breaker) -> Session:
    return Session(
        directory=directory,
        config_name="stackctl.yaml",
        environment=None,
        engine=world,  # type: ignore[arg-type]
        files=BreakableFiles(breaker),
        reporter=Silent(),
        names=Names(),
        trust=TrustStore({"XDG_STATE_HOME": str(directory.parent / "trust")}),
        variables={},
        clock=lambda: 1e9,  # type: ignore[arg-type]
        secrets=lambda _v, _d, _c: lambda _t: None,  # type: ignore[arg-type, return-value]
    )
