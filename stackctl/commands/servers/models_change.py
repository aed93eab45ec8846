"""``stackctl models pull|rm|sync|prune``: change the models of servers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from stackctl.commands.context.session import Session
from stackctl.commands.servers.known_servers import LOCAL, Inventory, gather
from stackctl.commands.servers.models import NO_SERVERS, ServerModels, no_such_model, stocks
from stackctl.errors import ExpectedFailure, StackctlError, UsageError
from stackctl.ollama import model_names
from stackctl.ollama.ensure import Pulled, pull_all
from stackctl.ollama.errors import Kind, OllamaError
from stackctl.ollama.listing import missing_models
from stackctl.ollama.server import Server
from stackctl.ollama.text import human_bytes, human_seconds
from stackctl.outcome import Block, Line, Outcome
from stackctl.ports import Progress, Reporter
from stackctl.threads import together


def pull(session: Session, models: Sequence[str], instances: Sequence[str], *, insecure: bool = False) -> Outcome:
    """Pull models into the servers named, or into the one in force. Exit code 1 when one fails; the others go on."""
    inventory = gather(session)
    servers = inventory.chosen(instances) if instances else [active(inventory)]
    bad = next((model for model in models if not model_names.is_valid(model)), None)
    if bad is not None:
        raise no_such_model(inventory, bad, [], registry=True)
    return _pull(
        inventory,
        {server.name: (server, list(models)) for server in servers},
        "stackctl.models-pull/1",
        insecure=insecure,
    )


def sync(session: Session, targets: Sequence[str]) -> Outcome:
    """Pull what each server lacks of its models in ``stackctl.yaml``; ``targets`` are instances and profiles."""
    inventory = gather(session)
    config = inventory.stack.config
    wanted = [
        m for t in targets for m in (inventory.members(t) if t in config.profiles else [t])
    ] or inventory.members()
    plan: dict[str, tuple[Server, list[str]]] = {}
    present: dict[str, list[str]] = {}
    failed: dict[str, StackctlError] = {}
    for stock in stocks(inventory, [s for s in inventory.chosen(wanted) if s.enabled]):
        name = stock.server.name
        if stock.error is not None:
            failed[name] = stock.error
            continue
        present[name] = inventory.required(name)
        missing = missing_models(present[name], stock.models)
        if missing:
            plan[name] = (stock.server, missing)
    return _pull(inventory, plan, "stackctl.models-sync/1", failed=failed, present=present)


def active(inventory: Inventory) -> Server:
    """The first server of the profile in force that is enabled and, if it is local, runs."""
    for name in inventory.members():
        if name in inventory.servers and inventory.servers[name].enabled:
            return inventory.servers[name]
        if "://" in name:
            return inventory.server(name)
    if inventory.local is None and LOCAL in inventory.members():
        return inventory.server(LOCAL)
    raise UsageError("no Ollama to ask: the local one does not run, and no instance is enabled", hint=NO_SERVERS)


def _pull(
    inventory: Inventory,
    plan: dict[str, tuple[Server, list[str]]],
    schema: str,
    *,
    insecure: bool = False,
    failed: dict[str, StackctlError] | None = None,
    present: dict[str, list[str]] | None = None,
) -> Outcome:
    reporter = inventory.session.reporter
    shared = _JoinedProgress(reporter)
    failed = dict(failed or {})
    done: list[tuple[str, Pulled]] = []

    def one(name: str, server: Server, models: list[str]) -> list[tuple[str, Pulled]]:
        with inventory.connect(server) as client:
            client.version()
            return [(name, result) for result in pull_all(client, models, shared.of(name), insecure=insecure)]

    if plan:
        label = ", ".join(dict.fromkeys(model for _, models in plan.values() for model in models))
        with reporter.step(f"pulling {label} into {', '.join(plan)}"), together(len(plan)) as pool:
            running = {name: pool.submit(one, name, server, models) for name, (server, models) in plan.items()}
            for name, future in running.items():
                try:
                    done += future.result()
                except StackctlError as error:
                    failed[name] = error
    return _outcome(inventory, schema, done, failed, present or {})


def _outcome(
    inventory: Inventory,
    schema: str,
    done: Sequence[tuple[str, Pulled]],
    failed: dict[str, StackctlError],
    present: dict[str, list[str]],
) -> Outcome:
    blocks: list[Block] = []
    entries: list[dict[str, Any]] = []
    stock: list[ServerModels] | None = None
    for name, result in done:
        error = result.error
        if error is not None and error.kind is Kind.NO_MODEL:
            stock = stocks(inventory, [s for s in inventory.servers.values() if s.enabled]) if stock is None else stock
            error = no_such_model(inventory, result.model, stock, registry=True)
        entries.append(
            {
                "instance": name,
                "model": result.model,
                "ok": error is None,
                "bytes": result.bytes,
                "seconds": round(result.seconds, 1),
                "cause": str(error.kind) if error else None,
                "message": error.message if error else None,
                "hint": error.hint if error else None,
            }
        )
        if error is None:
            detail = f"{human_bytes(result.bytes)} in {human_seconds(result.seconds)}" if result.bytes else "done"
            blocks.append(Line(f"{name}: {result.model}, {detail}", "ok"))
        else:
            blocks += _problem(name, error)
    for name, problem in failed.items():
        entries.append({"instance": name, "model": None, "ok": False, "message": problem.message, "hint": problem.hint})
        blocks += _problem(name, problem)
    touched = {name for name, _ in done}
    for name, models in present.items():
        if name not in touched:
            text = f"has {', '.join(models)}" if models else "needs no model"
            blocks.append(Line(f"{name}: {text}; nothing to do", "dim"))
    ok = not failed and all(entry["ok"] for entry in entries)
    return Outcome(schema, {"ok": ok, "pulls": entries}, blocks, code=0 if ok else 1)


def _problem(name: str, error: StackctlError) -> list[Line]:
    hint = [Line(f"→ {error.hint}", "dim", 1)] if error.hint else []
    return [Line(f"{name}: {error.message}", "bad"), *hint]


class _JoinedProgress:
    """Joins the progress of pulls into several servers into one line."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter, self._lock = reporter, threading.Lock()
        self._latest: dict[str, Progress] = {}

    def of(self, name: str) -> Reporter:
        """A reporter for the pulls of one server."""
        return _ProgressTo(self._reporter, lambda progress: self._say(name, progress))

    def _say(self, name: str, progress: Progress) -> None:
        with self._lock:
            self._latest[name] = progress
            parts = [f"{n}: {p.label}" if len(self._latest) > 1 else p.label for n, p in self._latest.items()]
            done = sum(p.done for p in self._latest.values())
            total = sum(p.total for p in self._latest.values())
            self._reporter.progress(Progress("; ".join(parts), done, total, "bytes"))


class _ProgressTo:
    """A reporter that hands its progress to a function."""

    def __init__(self, reporter: Reporter, say: Callable[[Progress], None]) -> None:
        self._reporter, self.progress = reporter, say

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reporter, name)


def remove(session: Session, models: Sequence[str], instances: Sequence[str], *, yes: bool) -> Outcome:
    """Remove models from the servers named, or from the one in force; asks. A model that is not there is a failure."""
    inventory = gather(session)
    servers = inventory.chosen(instances) if instances else [active(inventory)]
    found = stocks(inventory, servers)
    for stock in found:
        if stock.error is not None:
            raise stock.error
    todo = [(s, m, model_names.find(m, [x.name for x in s.models])) for s in found for m in models]
    absent = [(s, m) for s, m, known in todo if known is None]
    if absent:
        raise no_such_model(inventory, absent[0][1], [s for s in found if s is absent[0][0]])
    needed = [f"{m} on {s.server.name}" for s, m, _ in todo if _is_needed(inventory, s.server.name, m)]
    question = f"Remove {', '.join(models)} from {', '.join(s.name for s in servers)}?"
    if needed:
        session.reporter.warn(f"stackctl.yaml asks for {', '.join(needed)}: the next `up` or `sync` pulls it again")
    _confirm(session, question, yes=yes)
    return _remove(inventory, [(s.server, known) for s, _, known in todo if known], "stackctl.models-rm/1")


def _is_needed(inventory: Inventory, instance: str, model: str) -> bool:
    return any(model_names.same(model, name) for name in inventory.required(instance))


def prune(session: Session, instances: Sequence[str], *, yes: bool, dry_run: bool = False) -> Outcome:
    """Remove models that no profile needs, from the local Ollama or the servers named. Lists them and asks first."""
    inventory = gather(session)
    servers = inventory.chosen(instances) if instances else [inventory.server(LOCAL)]
    todo: list[tuple[Server, str]] = []
    blocks: list[Block] = []
    size = 0
    for stock in stocks(inventory, servers):
        if stock.error is not None:
            raise stock.error
        for model in stock.models:
            if not _is_needed(inventory, stock.server.name, model.name):
                todo.append((stock.server, model.name))
                size += model.size
                blocks.append(Line(f"{stock.server.name}: {model.name} ({human_bytes(model.size)})"))
        if not inventory.required(stock.server.name):
            raise UsageError(
                f"stackctl.yaml names no model for {stock.server.name}, so everything there would go",
                hint="name the ones to keep under `models:`, or remove single ones: stackctl models rm MODEL",
            )
    if not todo:
        return Outcome("stackctl.models-prune/1", {"removed": [], "bytes": 0}, [Line("nothing to prune", "ok")])
    if dry_run:
        listed = [{"instance": server.name, "model": model} for server, model in todo]
        blocks.append(Line(f"{len(todo)} models, up to {human_bytes(size)}; nothing was touched", "dim"))
        return Outcome("stackctl.models-prune/1", {"dry_run": True, "removed": listed, "bytes": size}, blocks)
    for block in blocks:
        session.reporter.note(block.text if isinstance(block, Line) else "")
    _confirm(session, f"Remove these {len(todo)} models (up to {human_bytes(size)})?", yes=yes)
    return _remove(inventory, todo, "stackctl.models-prune/1")


def _confirm(session: Session, question: str, *, yes: bool) -> None:
    if not yes and not session.reporter.ask(question):
        raise ExpectedFailure("nothing was removed: nobody said yes", hint="add --yes")


def _remove(inventory: Inventory, todo: Sequence[tuple[Server, str]], schema: str) -> Outcome:
    blocks: list[Block] = []
    entries: list[dict[str, Any]] = []
    for server, model in todo:
        error: OllamaError | None = None
        try:
            with inventory.connect(server) as client:
                with suppress(OllamaError):  # out of memory first, as `ollama rm` does; removing works without it too
                    client.unload(model)
                client.delete(model)
        except OllamaError as failure:
            error = failure
        entries.append(
            {"instance": server.name, "model": model, "ok": error is None, "message": error.message if error else None}
        )
        blocks.append(
            Line(f"{server.name}: {model} {'removed' if error is None else error.message}", "bad" if error else "ok")
        )
    ok = all(entry["ok"] for entry in entries)
    return Outcome(schema, {"ok": ok, "removed": entries}, blocks, code=0 if ok else 1)
