"""A scenario from its files to the verdict: the project is started, walked step by step, judged, and removed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.support.cli import Ran
from tests.support.project import Project, docker, project
from tests.zoo.drivers import Stackctl, compose
from tests.zoo.files import PYTHON, environment, rendered
from tests.zoo.judge import Scene, Step, complaints
from tests.zoo.look import asked, inspected, look, reached
from tests.zoo.scenario import Consumer, Scenario
from tests.zoo.servers import Servers

PATIENCE = 30.0
"""Seconds that a server may take to listen where it was started and nobody waited for it."""


class Driver(Protocol):
    """Who takes the steps."""

    def step(self, name: str) -> Ran:
        """Take one."""

    def status(self) -> dict[str, bool] | None:
        """What it says of each consumer; None where it says nothing."""


@dataclass
class Walked:
    """How it went: each step with its exit code, and what was broken."""

    steps: list[tuple[str, int]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    paste: str = ""

    @property
    def refused(self) -> list[str]:
        """The steps that were refused."""
        return [name for name, code in self.steps if code]


def walk(
    s: Scenario, servers: Servers, folder: Path, driver: Callable[[Project, Scenario, Servers], Driver] = Stackctl
) -> Walked:
    """Take a scenario on its walk; the first step that breaks an invariant ends it."""
    walked = Walked()
    with ExitStack() as stack:
        made = stack.enter_context(project(folder, "zoo"))
        files = rendered(s, made.name, servers, _free_port())
        for name, text in files.items():
            (made.directory / name).parent.mkdir(parents=True, exist_ok=True)
            (made.directory / name).write_text(text)
        started = compose(made, "--profile", "batch", "up", "--detach", env=environment(s))
        assert started.returncode == 0, f"the project does not start:\n{started.stderr}\n{files}"
        guest = _guest(s, made, stack)
        first = before = _scene(s, made, guest, PATIENCE)
        assert set(first.reach.values()) == {"local"}, f"the project does not work by itself: {first.reach}\n{files}"
        who = driver(made, s, servers)
        said: list[str] = []
        for name in _steps(s):
            ran = who.step(name)
            after = _scene(s, made, guest, PATIENCE if name == "detach" else 0.0)
            status = who.status() if ran.code == 0 and name not in ("init", "detach") else None
            walked.steps.append((name, ran.code))
            said.append(f"# {name}: exit {ran.code}\n{ran.err.strip()}")
            walked.broken += complaints(s, first, Step(name, ran, before, after, status))
            changed = [n for n, text in files.items() if (made.directory / n).read_text() != text]
            if changed:
                walked.broken.append(f"I6: {name} changed the user's {', '.join(changed)}")
            if name == "detach" and ran.code == 0 and (made.directory / ".stackctl").exists():
                walked.broken.append("I6: detach left .stackctl")
            if walked.broken or (name == "init" and ran.code):
                break
            before = after
        if walked.broken:
            config = made.directory / "stackctl.yaml"
            if config.exists():
                files["stackctl.yaml"] = config.read_text()
            walked.paste = _paste(s, files, [n for n, _ in walked.steps], said)
    return walked


def _steps(s: Scenario) -> list[str]:
    return ["init", "up", "switch", *([] if s.back == "none" else [s.back]), "detach"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


_GUEST = Consumer()


def _guest(s: Scenario, made: Project, stack: ExitStack) -> str:
    """A container of nobody's project on the project's network, which uses the project's server by its name."""
    if s.bystander != "guest" or s.home == "namespace":
        return ""
    name = f"{made.name}-guest"
    stack.callback(docker, "rm", "--force", name, check=False)
    docker(
        "run", "--detach", "--init", f"--name={name}", f"--network={made.name}_default", "--label=io.stackctl.test=1",
        "--env=OLLAMA_URL=http://ollama:11434", PYTHON, "python3", "-c", "import time; time.sleep(1e9)",
    )  # fmt: skip
    return name


def _scene(s: Scenario, made: Project, guest: str, patience: float) -> Scene:
    seen = look(made)
    reach = reached(s, seen, patience)
    return Scene(seen, reach, inspected(guest), asked(guest, _GUEST, patience)) if guest else Scene(seen, reach)


def _paste(s: Scenario, files: dict[str, str], steps: list[str], said: list[str]) -> str:
    """The project and the walk as something to paste into a shell."""
    lines = [f"# {s}"]
    for name, text in files.items():
        if name == "certs/ca.pem" and s.target != "tls":
            continue
        lines += [f"cat >{name} <<'END'", text.rstrip("\n"), "END"]
    export = [f"{k}={v} " for k, v in environment(s).items()]
    words = {"switch": "switch target", "local": "switch local", "init": "init --yes"}
    lines.append(f"{''.join(export)}docker compose --profile batch up --detach")
    lines += [f"{''.join(export) if n == 'init' else ''}stackctl {words.get(n, n)}" for n in steps]
    return "\n".join([*lines, "", *said])
