"""Carry out the steps of a plan, and of an undo. Each step is done; nothing is decided here."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile.gateway_control import reload, under_way
from stackctl.commands.reconcile.health import wait_healthy
from stackctl.commands.reconcile.observe import OVERRIDE, STATE, observe
from stackctl.commands.reconcile.prepare import compose_environment
from stackctl.commands.reconcile.request_settings import How
from stackctl.commands.reconcile.verify import Verified, containers_of, verify
from stackctl.config.url import DEFAULT_PORT, OllamaUrl
from stackctl.errors import StackctlError, StepFailed, VerifyFailed
from stackctl.ports import ComposeCall, Container
from stackctl.project.compose import ComposeProject
from stackctl.project.localollama import server_port
from stackctl.transaction import plan as steps
from stackctl.transaction.journal import Snapshot
from stackctl.transaction.observed import Observed
from stackctl.transaction.state import State
from stackctl.transaction.undo import plan_undo

NETWORK_LABELS = {"io.stackctl.role": "network"}
POLL = 0.15
_NOT_PULLED = re.compile(r"pull access denied|manifest (?:for .* not found|unknown)|failed to resolve reference|/v2/")
"""How Engine 20.10 to 28 end a pull: refused, no such tag, no such registry, no way to it."""
DRAIN = 10.0
"""Seconds that a server which is to go may take to finish what the gateway has under way there."""
LET_END = 10.0
"""Seconds beyond its own grace that a container which was told to end may take, before an undo takes it for one that
stays."""
VERIFY_FOR = 20.0
"""Seconds in which a consumer that runs may begin to reach a target that answered before."""


@dataclass
class Work:
    """What the steps of one transaction share.

    ``make_state`` builds the state to save from what is observed at that
    moment and from the last verification. ``health_timeout`` is in seconds.
    """

    session: Session
    stack: Stack
    project: ComposeProject
    variables: Mapping[str, str] = field(repr=False)
    told: Mapping[str, OllamaUrl]
    how: How
    make_state: Callable[[Sequence[Container]], State]
    health_timeout: float = 300.0
    verify_timeout: float = VERIFY_FOR
    tolerate_unreachable: bool = False
    local_port: int = DEFAULT_PORT
    verified: list[Verified] = field(default_factory=list)
    previous: Observed | None = None


class Early:
    """A verification that runs beside something else, of the containers as they were when it began.

    ``late``: the local server is no longer waited for. Before that an answer may take long to come, and is
    not waited for either.
    """

    def __init__(self, running: Mapping[str, Container], ask: Callable[[], list[Verified]], *, late: bool) -> None:
        self._begun, self._late = _starts(running), late
        self._answer: list[Verified] = []
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def _run(self, ask: Callable[[], list[Verified]]) -> None:
        # Whatever goes wrong is met again, and worded, by the verification that follows.
        with suppress(StackctlError):
            self._answer = ask()

    def in_vain(self) -> bool:
        """Whether it came too early: it is over, and not every consumer reached its Ollama."""
        return not self._late and not self._thread.is_alive() and not self._good()

    def _good(self) -> bool:
        return bool(self._answer) and all(v.ok for v in self._answer)

    def proof(self, running: Mapping[str, Container]) -> list[Verified] | None:
        """What was found, where every consumer reached its Ollama and still runs as it was asked; else None."""
        self._thread.join(None if self._late else 0)
        return self._answer if self._good() and self._begun == _starts(running) else None


def _starts(running: Mapping[str, Container]) -> dict[str, tuple[str, str]]:
    return {name: (container.id, container.started_at) for name, container in running.items()}


class StackExecutor:
    """Behind :class:`stackctl.transaction.apply.Executor`."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._session = work.session
        self._undoing = False
        self._early: Early | None = None
        self._actions: dict[type[steps.Step], Callable[[Any], None]] = {
            steps.CreateNetwork: self._create_network,
            steps.WriteOverride: self._write_override,
            steps.ComposeUp: self._compose_up,
            steps.WaitHealthy: self._wait_healthy,
            steps.EnsureModels: self._ensure_models,
            steps.VerifyConsumers: self._verify,
            steps.RemoveContainer: self._remove_container,
            steps.StopContainer: self._stop_container,
            steps.ComposeDown: self._compose_down,
            steps.RemoveNetwork: self._remove_network,
            steps.ReloadGateway: self._reload_gateway,
            steps.SaveState: self._save_state,
        }

    def do(self, step: steps.Step) -> None:
        """Carry out one step; raises a :class:`StackctlError` where it fails."""
        self._actions[type(step)](step)

    def undo(self, snapshot: Snapshot) -> list[str]:
        """Plan the way back from what is there now, and take it."""
        session, taken = self._session, []
        self._undoing = True
        with session.reporter.step("undo: putting the stack back as it was"):
            self._let_end(snapshot)
            now = observe(
                session,
                self._work.project,
                None,
                networks=self._own_networks(snapshot),
            )
            for step in plan_undo(snapshot, now).steps:
                session.reporter.detail(f"({step})")
                self.do(step)
                taken.append(str(step))
            state = session.state_directory / STATE
            if snapshot.state is None:
                session.files.remove(state)
            else:
                session.files.write(state, snapshot.state.encode())
        return taken

    def _let_end(self, snapshot: Snapshot) -> None:
        """Wait for containers that were told to end: a stop goes on in the engine when who asked for it has gone."""
        engine, begun = self._session.engine, time.monotonic()
        remembered = [c["id"] for containers in snapshot.containers.values() for c in containers]
        while ending := [c for c in engine.inspect(engine.being_stopped(remembered)) if c.state == "running"]:
            if time.monotonic() - begun > LET_END + max(c.stop_timeout for c in ending):
                return
            time.sleep(POLL)

    def _own_networks(self, snapshot: Snapshot) -> list[str]:
        shared = self._work.stack.config.network.shared
        return sorted({*snapshot.networks, *([shared] if shared else [])})

    def keep_evidence(self, error: BaseException) -> Path | None:
        """Logs, health logs and the probe's results of a failure, secrets masked."""
        if isinstance(error, KeyboardInterrupt):
            return None
        session = self._session
        where = session.state_directory / "evidence" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(session.clock()))
        try:
            reason = error.message if isinstance(error, StackctlError) else f"{type(error).__name__}: {error}"
            rows = [row.as_json() for result in self._work.verified for row in result.reach.checks]
            notes: dict[str, Any] = {"error": reason, "checks": rows, "containers": []}
            for container in session.engine.containers(self._work.project.name):
                notes["containers"].append(
                    {
                        "name": container.name,
                        "state": container.raw.get("State"),
                        "image": container.raw.get("Image"),
                    }
                )
                text = session.redact(session.engine.logs(container.name, tail=200))
                session.files.write(where / f"{container.name}.log", text.encode())
            session.files.write(
                where / "failure.json", session.redact(json.dumps(notes, indent=2, default=str)).encode()
            )
        except StackctlError as failure:
            session.reporter.warn(f"the evidence could not be kept: {failure.message}")
            return None
        return where

    # -- steps -----------------------------------------------------------

    def call(self) -> ComposeCall:
        """The Compose call with the override that is in force at this moment."""
        work, base = self._work, self._work.stack.call
        override = self._session.state_directory / OVERRIDE
        there = self._session.files.read(override, limit=0) is not None
        return ComposeCall(
            base.directory,
            (*base.files, str(override)) if there else base.files,
            base.project,
            base.env_files,
            base.profiles,
            {**compose_environment(self._session, work.stack), **work.variables},
        )

    def _create_network(self, step: steps.CreateNetwork) -> None:
        # A stack that declares this network as its own, such as the shared Ollama's, takes it over by these two.
        compose = {"com.docker.compose.network": step.name, "com.docker.compose.project": "stackctl-shared"}
        self._session.engine.create_network(step.name, labels={**NETWORK_LABELS, **compose})

    def _remove_network(self, step: steps.RemoveNetwork) -> None:
        self._session.engine.remove_network(step.name)

    def _write_override(self, step: steps.WriteOverride) -> None:
        path = self._session.state_directory / OVERRIDE
        if step.text is None:
            self._session.files.remove(path)
        else:
            self._session.files.write(path, step.text.encode())

    def _compose_up(self, step: steps.ComposeUp) -> None:
        session = self._session
        arguments = ["--progress", "plain", "up", "--detach"]
        arguments += ["--no-deps"] if step.alone else []
        arguments += ["--force-recreate"] if step.anew else []
        arguments += [] if step.rest and not step.alone else list(step.services)
        with session.reporter.step(f"starting {', '.join(step.services)}"):
            done = session.engine.compose(self.call(), arguments, on_line=session.reporter.detail)
        if done.code:
            reason = compose_reason(done.error_text)
            raise StepFailed(f"docker compose up failed: {reason}", hint=self._about_pulling(reason, step.services))

    def _about_pulling(self, reason: str, services: Sequence[str]) -> str:
        if not _NOT_PULLED.search(reason):
            return ""
        local = self._work.stack.config.local.service in services
        own = "; `local: {image: NAME}` in stackctl.yaml takes another image for Ollama" if local else ""
        return f"an image is not on this engine and could not be pulled: `docker images` shows what is there{own}"

    def _compose_down(self, _step: steps.ComposeDown) -> None:
        done = self._session.engine.compose(self.call(), ["--progress", "plain", "down"])
        if done.code:
            raise StepFailed(f"docker compose down failed: {compose_reason(done.error_text)}")

    def _wait_healthy(self, step: steps.WaitHealthy) -> None:
        def look(containers: Sequence[Container], waiting: Sequence[Container]) -> None:
            local = self._work.stack.config.local.service
            services = {c.service for c in waiting}
            late = local not in services
            again = self._early is None or (late and self._early.in_vain())
            if again and services <= {local, *self._work.told}:
                self._early = self._verify_early(containers, late=late)

        wait_healthy(self._session, self._work.project, step.services, self._work.health_timeout, look)

    def _verify_early(self, containers: Sequence[Container], *, late: bool) -> Early | None:
        """Ask consumers that run already, while they get healthy: a failure now says nothing, a success is proof.

        A check of the consumer's own may count on its health, and waits for it.
        """
        work = self._work
        running = containers_of(work.stack.config, containers)
        own = any(consumer.verify for consumer in work.stack.config.consumers.values())
        if own or self._undoing or work.tolerate_unreachable or not set(work.told) <= set(running):
            return None
        return Early(running, lambda: verify(self._session, work.stack, work.told, work.how, running), late=late)

    def _ensure_models(self, step: steps.EnsureModels) -> None:
        session = self._session
        container = self._container(step.service)
        from stackctl.ollama.client import OllamaClient  # noqa: PLC0415  (0.15 s)
        from stackctl.ollama.ensure import ensure_models  # noqa: PLC0415
        from stackctl.ollama.server import Server  # noqa: PLC0415

        server = Server("local", OllamaUrl("http", "127.0.0.1", self._work.local_port))
        way = session.into_container(container, self._work.local_port)
        with session.reporter.step(f"models {', '.join(step.models)}"), OllamaClient(server, backend=way) as client:
            self._wait_for_answer(client.version)
            pulled = ensure_models(client, list(step.models), session.reporter)
        if pulled:
            session.reporter.note(f"pulled {', '.join(pulled)}")

    def _wait_for_answer(self, ask: Callable[[], object]) -> None:
        """Without a healthcheck a container runs long before its server answers."""
        from stackctl.ollama.errors import OllamaError  # noqa: PLC0415

        end = time.monotonic() + self._work.health_timeout
        while True:
            try:
                ask()
            except OllamaError as error:
                if not error.passing or time.monotonic() >= end:
                    raise
                time.sleep(POLL)
            else:
                return

    def _verify(self, step: steps.VerifyConsumers) -> None:
        work, session = self._work, self._session
        with session.reporter.step(f"verifying from inside {', '.join(step.consumers)}"):
            end = time.monotonic() + (0.0 if work.tolerate_unreachable else work.verify_timeout)
            early, self._early = self._early, None
            while True:
                running = containers_of(work.stack.config, session.engine.containers(work.project.name))
                if early and (proof := early.proof(running)) and {v.consumer for v in proof} == set(step.consumers):
                    work.verified = proof
                    return
                early = None
                work.verified = verify(
                    session, work.stack, {c: work.told[c] for c in step.consumers}, work.how, running
                )
                bad = [v for v in work.verified if not v.ok]
                absent = [c for c in step.consumers if c not in running]
                if not bad and not absent:
                    return
                lasting = any(v.reach.failed and v.reach.failed.id == "model" for v in bad)
                if lasting or time.monotonic() >= end:
                    break
                time.sleep(POLL)
            if work.tolerate_unreachable:
                return
            raise VerifyFailed(verify_message(bad, absent), hint="stackctl diagnose")

    def _remove_container(self, step: steps.RemoveContainer) -> None:
        gated = bool(self._work.stack.config.gateway) and not self._undoing
        if gated and (left := self._drained(step)):
            self._session.reporter.note(
                f"{step.container} still has {left} request(s) of the gateway to finish, and is left running;"
                " the next `stackctl up` removes it"
            )
            return
        with self._session.reporter.step(f"removing {step.container}"):
            self._session.engine.stop(step.container)
            self._session.engine.remove(step.container)

    def _drained(self, step: steps.RemoveContainer) -> int:
        """Wait a while for requests that the gateway has under way there; how many are left."""
        end = time.monotonic() + DRAIN
        while True:
            containers = self._session.engine.containers(self._work.project.name)
            server = next((c for c in containers if c.name == step.container and c.state == "running"), None)
            if server is None:
                return 0
            port = server_port(self._work.project.services.get(step.service))
            left = under_way(self._session, containers, server, port)
            if not left or time.monotonic() >= end:
                return left
            time.sleep(POLL)

    def _stop_container(self, step: steps.StopContainer) -> None:
        self._session.engine.stop(step.container)

    def _reload_gateway(self, step: steps.ReloadGateway) -> None:
        self._early = None  # it went to where the gateway led until now
        with self._session.reporter.step("reloading the gateway"):
            reload(self._session, self._work.stack, self._container(step.service), step.text, step.digest)

    def _save_state(self, _step: steps.SaveState) -> None:
        state = self._work.make_state(self._session.engine.containers(self._work.project.name))
        self._session.files.write(self._session.state_directory / STATE, state.to_json().encode())

    def _container(self, service: str) -> Container:
        found = [c for c in self._session.engine.containers(self._work.project.name) if c.service == service]
        running = [c for c in found if c.state == "running"]
        if not running:
            raise StepFailed(f"{service} has no running container", hint=f"stackctl logs {service}")
        return running[0]


def verify_message(bad: Sequence[Verified], absent: Sequence[str] = ()) -> str:
    """What failed, a consumer a line."""
    lines = [f"{v.consumer} does not reach {v.url}: {v.reason}" for v in bad]
    lines += [f"{name} has no running container" for name in absent]
    return "\n".join(lines)


def compose_reason(stderr: str, *, lines: int = 12) -> str:
    """The end of what Compose printed, without its progress."""
    said = [line.strip() for line in stderr.splitlines() if line.strip() and "level=warning" not in line]
    kept = [line for line in said if not _is_progress(line)]
    # A failed pull stands there twice: as the progress of its service, and as what ended it all.
    kept = [line for line in kept[:-1] if not kept[-1].endswith(line.partition(" Error ")[2] or "-")] + kept[-1:]
    return "\n".join(kept[-lines:]) or "no reason given"


def _is_progress(line: str) -> bool:
    words = line.split()
    if len(words) == 2:
        return words[1] in ("Pulling", "Pulled", "Interrupted", "Skipped", "Building", "Built")
    return len(words) >= 3 and words[0] in ("Container", "Network", "Volume", "Image")
