"""Put one entry on the stage: its stack, its world, and take both down again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.lab import crowd, pki
from tests.faults.lab.entry import Entry, compose_text
from tests.faults.lab.world import ABSENT, DNS, HOST, OTHER, ROOT, SERVER, World, until

DOUBLE = ROOT / "compose" / "images" / "ollama-double" / "ollama"
WORDS = {"HOST": HOST, "SERVER": SERVER, "OTHER": OTHER, "DNS": DNS, "ABSENT": ABSENT, "PYTHON": sys.executable}


@dataclass
class Lab:
    """A world with the stack that is up in it. A stack that the next entry wants too is kept."""

    world: World
    text: str = ""
    room: Path | None = None
    serial: int = 0
    words: dict[str, str] = field(default_factory=dict)
    dirty: bool = False

    @property
    def project(self) -> str:
        """The Compose project's name: one for all, so that equal stacks stay equal."""
        return "lab"

    @contextmanager
    def staged(self, entry: Entry) -> Iterator[Path]:
        """Make the fault real; everything of it is undone again, also on failure."""
        undo: list[Any] = []
        room = self.world.room
        settings = entry.get("engine")
        try:
            self.words = {
                **WORDS,
                "HOSTS": f"{room}/hosts",
                "RESOLV": f"{room}/resolv.conf",
                "ROOM": str(room),
                "UPLINK": f"{self.world.name}a",
                "LANLINK": f"{self.world.name}b",
                "PKI": str(room / "pki"),
            }
            if "@PKI@" in json.dumps(entry.raw) and not (room / "pki").exists():
                pki.make(room / "pki")
            if settings:
                self.down()
                self.world.engine_down()
                self.world.engine_up(**json.loads(self.fill(json.dumps(settings))))
            if entry.get("make") and not self.is_up(entry):
                self.down()  # before the fault is made: taking a stack down prunes networks
            for step in entry.get("make") or []:
                self.step(step, undo)
            room = self.up(entry)
            for step in entry.get("after") or []:
                self.dirty = self.dirty or "compose" in step or "docker" in step
                self.step(step, undo)
            yield room
        finally:
            for action in reversed(undo):
                action()
            if settings or self.dirty or entry.get("fix"):
                self.down()
            if settings:
                self.world.engine_down()
                self.world.engine_up()

    def is_up(self, entry: Entry) -> bool:
        """Whether the stack of an entry is the one that is up."""
        try:
            return self.key(entry) == self.text and self.room is not None
        except KeyError:  # a word that only the entry's own steps will know
            return False

    def key(self, entry: Entry) -> str:
        """What makes two stacks the same."""
        text = self.fill(compose_text(entry, self.project))
        return json.dumps([text, entry.get("dotenv"), entry.get("files"), entry.get("config"), entry.get("up")])

    def up(self, entry: Entry) -> Path:
        """The stack of an entry, brought up unless it is up already."""
        files = {**(entry.get("files") or {})}
        text = self.fill(compose_text(entry, self.project))
        key = self.key(entry)
        if key == self.text and self.room is not None:
            return self.room
        self.down()
        self.serial += 1
        room = self.world.room / f"stack{self.serial}"
        room.mkdir()
        (room / "docker-compose.yml").write_text(text)
        if entry.get("dotenv"):
            (room / ".env").write_text(self.fill(entry.get("dotenv")))
        for name, content in files.items():
            (room / name).write_text(self.fill(content))
        self.room, self.text = room, key
        if entry.get("up") != "never":
            wanted = entry.get("up") or {}
            self.world.docker(
                "compose",
                "up",
                "-d",
                "--no-build",
                "--pull",
                "never",
                *wanted.get("arguments", []),
                cwd=room,
                check=not wanted.get("fails"),
                env={k: self.fill(v) for k, v in (wanted.get("env") or {}).items()},
            )
            if "ollama" in entry.raw and entry.raw["ollama"] is not None and not wanted.get("fails"):
                self._await_ollama()
        if entry.get("config"):
            (room / "stackctl.yaml").write_text(self.fill(entry.get("config")))
        return room

    def _await_ollama(self) -> None:
        def answers() -> bool:
            found = self.world.docker("compose", "ps", "-q", "ollama", cwd=self.room, check=False).stdout.split()
            if not found:
                return True
            state = self.world.docker("inspect", "-f", "{{.State.Status}}", found[0], check=False).stdout.strip()
            if state != "running":
                return True
            return "Listening on" in self.world.docker("logs", found[0], check=False).stderr

        until(answers, "the Ollama of the stack")

    def down(self) -> None:
        """Take the stack away."""
        if self.room is not None:
            self.world.docker(
                "compose", "--profile", "*", "down", "-t", "0", "-v", "--remove-orphans", cwd=self.room, check=False
            )
            kept = set(crowd.members(self.world)) if crowd.is_wanted() else set()
            ids = [i for i in self.world.docker("ps", "-aq", "--no-trunc", check=False).stdout.split() if i not in kept]
            if ids:
                self.world.docker("rm", "-f", "-v", *ids, check=False)
            self.world.docker("network", "prune", "-f", check=False)
            shutil.rmtree(self.room, ignore_errors=True)
        self.text, self.room, self.dirty = "", None, False

    def fill(self, text: str) -> str:
        """Put the lab's addresses in for ``@SERVER@`` and the like."""
        return re.sub(r"@([A-Z_0-9]+)@", lambda m: self.words[m[1]], text)

    def step(self, step: dict[str, Any], undo: list[Any]) -> None:
        """One step of making a fault; what takes it back goes onto ``undo``."""
        world = self.world
        step = json.loads(self.fill(json.dumps(step)))
        if "undo" in step:
            undo.append(lambda: self._undo(step["undo"]))
        if "actor" in step:
            settings = {k: v for k, v in step.items() if k not in ("actor", "on", "ready", "undo")}
            ready = step.get("ready", ["tcp", settings.get("port", 0)])
            process = world.actor(
                step.get("on", "lan"), step["actor"], ready=tuple(ready) if ready else None, **settings
            )
            undo.append(lambda: world.end(process))
        elif "double" in step:
            process = self._double(step)
            undo.append(lambda: world.end(process))
        elif "docker" in step:
            shown = world.docker(*step["docker"], cwd=self.room, check=not step.get("fails")).stdout.strip()
            if "keep" in step:
                self.words[step["keep"]] = shown
        elif "compose" in step:
            world.docker("compose", *step["compose"], cwd=self.room, check=not step.get("fails"), env=step.get("env"))
        elif "write" in step:
            assert self.room is not None
            (self.room / step["write"]).write_text(step["text"])
        elif "host" in step or "lan" in step:
            space = "host" if "host" in step else "lan"
            shown = world.on(space, "sh", "-c", step[space])
            if "keep" in step:
                self.words[step["keep"]] = shown.strip()
        elif "until" in step:
            until(lambda: bool(re.search(step["says"], self._shell(step["until"]))), step["until"])

    def _undo(self, what: Any) -> None:
        if isinstance(what, list):
            self.world.docker(*what, check=False)
        else:
            space, command = what.partition(": ")[::2]
            self.world.on(space, "sh", "-c", command, check=False)

    def _double(self, step: dict[str, Any]) -> subprocess.Popen[Any]:
        world = self.world
        home = world.room / f"double{len(world.processes)}-{step.get('port', 11434)}-{self.serial}"
        home.mkdir(exist_ok=True)
        bind, port = step.get("bind", "0.0.0.0"), step.get("port", 11434)
        env = {
            "OLLAMA_HOST": f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}",
            "OLLAMA_MODELS": str(home / "models"),
            "HOME": str(home),
            "OLLAMA_DOUBLE_MODELS": step.get("models", "qwen3:8b"),
            "OLLAMA_DOUBLE_FAULTS": json.dumps(step.get("faults") or {}),
            **{k: str(v) for k, v in (step.get("env") or {}).items()},
        }
        program = str(DOUBLE)
        return world.start(step["double"], [sys.executable, "-S", program, "serve"], env=env, ready=("tcp", port))

    def _shell(self, command: str) -> str:
        done = subprocess.run(
            [*self.world.at_home(), "sh", "-c", command],
            env=self.world.env(),
            cwd=self.room,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return f"{done.stdout}{done.stderr}\nexit {done.returncode}"

    def symptom(self, entry: Entry) -> str:
        """What a person sees without stackctl; the text that was matched."""
        wanted = entry.get("symptom")
        if not wanted:
            return ""
        kind = wanted.get("in", "debian" if "debian" in entry.kinds else entry.kinds[0])
        command = self.fill(wanted["run"])
        if kind == "host":
            text = self._shell(command)
        else:
            done = self.world.docker(
                "compose",
                "exec",
                "-T",
                kind,
                "bash" if kind in ("debian", "python", "node") else "sh",
                "-c",
                command,
                cwd=self.room,
                check=False,
            )
            text = f"{done.stdout}{done.stderr}\nexit {done.returncode}"
        assert re.search(self.fill(wanted["says"]), text), f"the symptom {wanted['says']!r} is not there:\n{text}"
        return text

    def diagnose(self, entry: Entry, *more: str, save: bool = False) -> dict[str, Any]:
        """The JSON document of one diagnosis, with ``seconds`` and ``code``.

        With ``save``, and a directory in FAULT_LAB_SAVE, the scene that was judged is written there.
        """
        assert self.room is not None
        argv = ["-C", str(self.room), "diagnose", "--json", *entry.get("arguments", []), *more]
        env = {k: (self.fill(v) if v is not None else None) for k, v in (entry.get("environment") or {}).items()}
        if save and (directory := os.environ.get("FAULT_LAB_SAVE")):
            env["FAULT_LAB_SCENE"] = str(Path(directory).resolve() / f"{entry.name}.json")
        prefix = [self.fill(w) for w in entry.get("prefix") or []]
        ran = self.world.stackctl(*argv, env=env, prefix=prefix)
        assert ran["code"] in (0, 1), f"stackctl ended with {ran['code']}\n{ran['out']}{ran['err']}"
        try:
            document: dict[str, Any] = json.loads(ran["out"])
        except ValueError:
            raise AssertionError(f"no JSON document:\n{ran['out']}\n{ran['err']}") from None
        return {**document, "code": ran["code"], "seconds": ran["seconds"], "err": ran["err"]}
