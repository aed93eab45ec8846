"""Carry out the steps of a plan, and of an undo. Each step is done; nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import OVERRIDE, STATE, read_text, rfc3339, write_state
from stackctl.commands.reconcile.compose_failure import compose_reason, pull_hint
from stackctl.commands.reconcile.evidence import keep_evidence
from stackctl.commands.reconcile.gateway_control import drain, reload
from stackctl.commands.reconcile.health import refuse_lost, wait_healthy
from stackctl.commands.reconcile.observe import observe
from stackctl.commands.reconcile.prepare import compose_environment
from stackctl.commands.reconcile.request_settings import RequestSettings
from stackctl.commands.reconcile.verify import Verified, containers_of, verify, verify_message
from stackctl.config.url import DEFAULT_PORT, OllamaUrl
from stackctl.errors import StepFailed, VerifyFailed
from stackctl.ports import ComposeCall, Container
from stackctl.project.compose import ComposeProject
from stackctl.project.localollama import server_port
from stackctl.transaction import steps
from stackctl.transaction.journal import Snapshot
from stackctl.transaction.state import State, completed
from stackctl.transaction.undo import plan_undo
from stackctl.waiting import until

NETWORK_LABELS = {"io.stackctl.role": "network"}
POLL = 0.15
LET_END = 10.0
"""Seconds beyond its own grace that a container which was told to end may take, before an undo takes it for one that
stays."""
VERIFY_FOR = 20.0
"""Seconds in which a consumer that runs may begin to reach a target that answered before."""
STARTS_FOR = 60.0
"""Seconds more for a local server that has no healthcheck to tell when it answers."""


@dataclass(frozen=True)
class ExecutorInput:
    """What the steps of one transaction need beyond what they say themselves.

    ``urls`` is what each consumer is told, ``state`` the draft of what to save at
    the end (None for an undo), ``health_timeout`` in seconds.
    """

    session: Session
    stack: Stack
    project: ComposeProject
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    urls: Mapping[str, OllamaUrl] = field(default_factory=dict)
    settings: RequestSettings = field(default_factory=RequestSettings)
    state: State | None = None
    health_timeout: float = 300.0
    local_port: int = DEFAULT_PORT


class StackExecutor:
    """Behind :class:`stackctl.transaction.apply.Executor`; ``verified`` is what the consumers answered last."""

    def __init__(self, given: ExecutorInput) -> None:
        self.verified: list[Verified] = []
        self._begun: dict[str, float] = {}
        self._durations: dict[str, float] = {}
        self._given = given
        self._session = given.session
        self._actions: dict[type[steps.Step], Callable[[Any], None]] = {
            steps.CreateNetwork: self._create_network,
            steps.WriteOverride: self._write_override,
            steps.ComposeUp: self._compose_up,
            steps.WaitHealthy: self._wait_healthy,
            steps.EnsureModels: self._ensure_models,
            steps.VerifyConsumers: self._verify,
            steps.RemoveContainer: self._remove_container,
            steps.RemoveIdleContainer: self._remove_idle_container,
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
        with session.reporter.step("undo: putting the stack back as it was"):
            self._let_end(snapshot)
            now = observe(session, self._given.project, None, networks=self._own_networks(snapshot))
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
        engine = self._session.engine
        remembered = [c["id"] for containers in snapshot.containers.values() for c in containers]

        def ending() -> list[Container]:
            return [c for c in engine.inspect(engine.being_stopped(remembered)) if c.state == "running"]

        if first := ending():
            until(lambda: not ending(), within=LET_END + max(c.stop_timeout for c in first), every=POLL)

    def _own_networks(self, snapshot: Snapshot) -> list[str]:
        shared = self._given.stack.config.network.shared
        return sorted({*snapshot.networks, *([shared] if shared else [])})

    def keep_evidence(self, error: BaseException) -> Path | None:
        """Logs, health logs and the probe's results of a failure, secrets masked."""
        return keep_evidence(self._session, self._given.project.name, self.verified, error)

    # -- steps -----------------------------------------------------------

    def _call(self) -> ComposeCall:
        """The Compose call with the override that is in force at this moment."""
        given, base = self._given, self._given.stack.call
        override = read_text(self._session, OVERRIDE)
        path = str(self._session.state_directory / OVERRIDE)
        return ComposeCall(
            base.directory,
            base.files if override is None else (*base.files, path),
            base.project,
            base.env_files,
            base.profiles,
            {**compose_environment(self._session, given.stack, override), **given.variables},
        )

    def _create_network(self, step: steps.CreateNetwork) -> None:
        # A stack that declares this network as its own, such as the shared Ollama's, takes it over by these two.
        compose = {"com.docker.compose.network": step.name, "com.docker.compose.project": "stackctl-shared"}
        self._session.engine.create_network(step.name, labels={**NETWORK_LABELS, **compose})

    def _remove_network(self, step: steps.RemoveNetwork) -> None:
        network = self._session.engine.network(step.name) or {}
        if NETWORK_LABELS.items() <= (network.get("Labels") or {}).items():
            self._session.engine.remove_network(step.name)

    def _write_override(self, step: steps.WriteOverride) -> None:
        path = self._session.state_directory / OVERRIDE
        if step.text is None:
            self._session.files.remove(path)
        else:
            self._session.files.write(path, step.text.encode())

    def _compose_up(self, step: steps.ComposeUp) -> None:
        session = self._session
        self._begun |= dict.fromkeys(step.services, session.clock())
        arguments = ["--progress", "plain", "up", "--detach"]
        arguments += ["--no-deps"] if step.no_deps else []
        arguments += ["--force-recreate"] if step.force_recreate else []
        arguments += [] if step.all_services and not step.no_deps else list(step.services)
        with session.reporter.step(f"starting {', '.join(step.services)}"):
            done = session.engine.compose(self._call(), arguments, on_line=session.reporter.detail)
        if done.code:
            reason = compose_reason(done.error_text)
            local = self._given.stack.config.local.service in step.services
            raise StepFailed(f"docker compose up failed: {reason}", hint=pull_hint(reason, local=local))

    def _compose_down(self, _step: steps.ComposeDown) -> None:
        done = self._session.engine.compose(self._call(), ["--progress", "plain", "down"])
        if done.code:
            raise StepFailed(f"docker compose down failed: {compose_reason(done.error_text)}")

    def _wait_healthy(self, step: steps.WaitHealthy) -> None:
        wait_healthy(self._session, self._given.project, step.services, self._given.health_timeout)
        now = self._session.clock()
        self._durations |= {s: round(now - self._begun[s], 1) for s in step.services if s in self._begun}

    def _ensure_models(self, step: steps.EnsureModels) -> None:
        session, port = self._session, self._given.local_port
        container = self._container(step.service)
        from stackctl.ollama.client import OllamaClient  # noqa: PLC0415  (0.15 s)
        from stackctl.ollama.ensure import ensure_models, wait_for_answer  # noqa: PLC0415
        from stackctl.ollama.server import Server  # noqa: PLC0415

        server = Server("local", OllamaUrl("http", "127.0.0.1", port))
        way = session.into_container(container, port)
        with session.reporter.step(f"models {', '.join(step.models)}"), OllamaClient(server, backend=way) as client:
            # Without a healthcheck a container runs long before its server answers.
            wait_for_answer(client, within=self._given.health_timeout, every=POLL)
            pulled = ensure_models(client, list(step.models), session.reporter)
        if pulled:
            session.reporter.note(f"pulled {', '.join(pulled)}")

    def _verify(self, step: steps.VerifyConsumers) -> None:
        given, session = self._given, self._session
        urls = {consumer: given.urls[consumer] for consumer in step.consumers}
        bad: list[Verified] = []
        absent: list[str] = []

        def settled() -> bool:
            """Whether each reaches its Ollama, or one lacks a model there, which no waiting brings."""
            containers = session.engine.containers(given.project.name)
            running = containers_of(given.stack.config, containers)
            self.verified = verify(session, given.stack, urls, given.settings, running)
            bad[:] = [v for v in self.verified if not v.ok]
            absent[:] = [consumer for consumer in step.consumers if consumer not in running]
            refuse_lost(session, [c for c in containers if c.service in absent])
            lasting = any(v.reach.failed and v.reach.failed.id == "model" for v in bad)
            return lasting or not (bad or absent)

        with session.reporter.step(f"verifying from inside {', '.join(step.consumers)}"):
            until(settled, within=VERIFY_FOR if step.required else 0.0, every=POLL)
            refused = bool(bad) and all(v.reach.failed and v.reach.failed.id == "tcp" for v in bad)
            if step.required and refused and self._starts_unseen():
                until(settled, within=STARTS_FOR, every=POLL)
            if step.required and (bad or absent):
                raise VerifyFailed(verify_message(bad, absent), hint="stackctl diagnose")

    def _starts_unseen(self) -> bool:
        """Whether the local server runs without a healthcheck: it may still be starting, and nothing else tells."""
        local = self._given.stack.config.local.service
        there = self._session.engine.containers(self._given.project.name)
        return any(c.service == local and c.state == "running" and c.health is None for c in there)

    def _remove_container(self, step: steps.RemoveContainer) -> None:
        with self._session.reporter.step(f"removing {step.container}"):
            self._session.engine.stop(step.container)
            self._session.engine.remove(step.container)

    def _remove_idle_container(self, step: steps.RemoveIdleContainer) -> None:
        project = self._given.project
        port = server_port(project.services.get(step.service))
        if left := drain(self._session, project.name, step.container, port):
            self._session.reporter.note(
                f"{step.container} still has {left} request(s) of the gateway to finish, and is left running;"
                " the next `stackctl up` removes it"
            )
        else:
            self._remove_container(step)

    def _stop_container(self, step: steps.StopContainer) -> None:
        self._session.engine.stop(step.container)

    def _reload_gateway(self, step: steps.ReloadGateway) -> None:
        with self._session.reporter.step("reloading the gateway"):
            reload(self._session, self._given.stack, self._container(step.service), step.text, step.digest)

    def _save_state(self, _step: steps.SaveState) -> None:
        assert self._given.state is not None, "an undo saves no new state"  # noqa: S101
        labels = {c.service: c.config_hash for c in self._session.engine.containers(self._given.project.name)}
        draft = replace(self._given.state, durations={**self._given.state.durations, **self._durations})
        write_state(self._session, completed(draft, labels, rfc3339(self._session.clock())))

    def _container(self, service: str) -> Container:
        containers: Sequence[Container] = self._session.engine.containers(self._given.project.name)
        running = [c for c in containers if c.service == service and c.state == "running"]
        if not running:
            raise StepFailed(f"{service} has no running container", hint=f"stackctl logs {service}")
        return running[0]
