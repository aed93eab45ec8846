"""``stackctl models list|show``: the models of every server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from stackctl.commands.context.session import Session
from stackctl.commands.servers.known_servers import Inventory, gather
from stackctl.errors import ExpectedFailure, StackctlError, UsageError
from stackctl.ollama import model_names
from stackctl.ollama.errors import Kind, OllamaError
from stackctl.ollama.library import WELL_KNOWN
from stackctl.ollama.listing import Loaded, Model
from stackctl.ollama.server import Server
from stackctl.ollama.text import human_bytes, mapping, plain, printable
from stackctl.outcome import Block, Line, Outcome, Table, Tone, Verbatim
from stackctl.threads import together

T = TypeVar("T")
Row = list[str | tuple[str, Tone]]
NO_SERVERS = "stackctl up local, or stackctl instances add NAME URL"


@dataclass(frozen=True)
class ServerModels:
    """The models of one server, or the error that kept it from listing them."""

    server: Server
    models: tuple[Model, ...] = ()
    loaded: tuple[Loaded, ...] = ()
    error: StackctlError | None = None

    def memory(self, model: Model) -> Loaded | None:
        """The entry of ``/api/ps`` for a model; a copy is listed under the name that was loaded first."""
        return next(
            (e for e in self.loaded if model_names.same(e.name, model.name) or (e.digest and e.digest == model.digest)),
            None,
        )


def every(servers: Sequence[Server], ask: Callable[[Server], T]) -> list[T]:
    """``ask`` of every server at once, in order."""
    if not servers:
        return []
    with together(min(64, len(servers))) as pool:
        return list(pool.map(ask, servers))


def stocks(inventory: Inventory, servers: Sequence[Server], *, details: bool = False) -> list[ServerModels]:
    """The models of each server; with ``details``, also what only ``/api/show`` returns."""

    def ask(server: Server) -> ServerModels:
        if not server.enabled:
            return ServerModels(server, error=ExpectedFailure("disabled"))
        try:
            with inventory.connect(server) as client:
                models = client.tags()
                try:
                    loaded = client.ps()
                except OllamaError:
                    loaded = []
                if details:
                    models = [client.detailed(model) for model in models[:500]] + models[500:]
                return ServerModels(server, tuple(models), tuple(loaded))
        except StackctlError as error:
            return ServerModels(server, error=error)

    return every(servers, ask)


def list_models(session: Session, chosen: Sequence[str]) -> Outcome:
    """Every model of every server. Exit code 1 when a server that was named does not answer, or none does."""
    inventory = gather(session)
    servers = inventory.chosen(chosen)
    if not servers:
        raise UsageError("no Ollama to ask: the local one does not run, and there are no instances", hint=NO_SERVERS)
    found = stocks(inventory, servers, details=True)
    digests: dict[str, set[str]] = defaultdict(set)
    for stock in found:
        for model in stock.models:
            digests[model_names.key(model.name)].add(model.digest)
    entries = [
        _entry(inventory, stock, model, len(digests[model_names.key(model.name)]) > 1)
        for stock in found
        for model in stock.models
    ]
    rows: list[Row] = [_row(entry) for entry in entries]
    blocks: list[Block] = []
    if rows:
        heads = ["model", "instance", "size", "parameters", "quant", "context", "capabilities", "loaded", "digest"]
        blocks.append(Table(heads, rows))
    for stock in found:
        if stock.error is not None:
            tone: Tone = "bad" if stock.server.enabled else "dim"
            blocks.append(Line(f"{stock.server.name}: {stock.error.message}", tone))
        elif not stock.models:
            blocks.append(Line(f"{stock.server.name}: no models", "dim"))
    missing = {s.server.name: m for s in found if s.error is None and (m := _missing(inventory, s))}
    blocks += [Line(f"{name} lacks {', '.join(lacks)}", "warn") for name, lacks in missing.items()]
    if any(entry["differs"] for entry in entries):
        blocks.append(Line("≠ one name, different contents on different instances", "warn"))
    dead = [s for s in found if s.error is not None and s.server.enabled]
    code = 1 if dead and (chosen or len(dead) == len([s for s in found if s.server.enabled])) else 0
    data = {
        "models": entries,
        "missing": missing,
        "errors": [
            {"instance": s.server.name, "message": s.error.message, "hint": s.error.hint} for s in dead if s.error
        ],
    }
    return Outcome("stackctl.models/1", data, blocks, ["stackctl models sync"] if missing else [], code)


def _missing(inventory: Inventory, stock: ServerModels) -> list[str]:
    have = {model_names.key(model.name) for model in stock.models}
    return [name for name in inventory.required(stock.server.name) if model_names.key(name) not in have]


def _entry(inventory: Inventory, stock: ServerModels, model: Model, differs: bool) -> dict[str, Any]:
    memory = stock.memory(model)
    return {
        "name": model.name,
        "instance": stock.server.name,
        "size": model.size,
        "parameters": model.parameters or None,
        "quantization": model.quantization or None,
        "family": model.family or None,
        "context_length": model.context_length or None,
        "capabilities": list(model.capabilities),
        "loaded": None if memory is None else {"processor": memory.processor, "context_length": memory.context_length},
        "digest": model.digest,
        "differs": differs,
        "required": any(model_names.same(model.name, name) for name in inventory.required(stock.server.name)),
        "modified_at": model.modified_at,
        "remote": model.remote or None,
    }


def _row(entry: dict[str, Any]) -> Row:
    context = entry["context_length"]
    return [
        entry["name"],
        entry["instance"],
        human_bytes(entry["size"]) if entry["size"] else "-",
        entry["parameters"] or "-",
        entry["quantization"] or "-",
        f"{context // 1024}k" if context and context >= 1024 else str(context or "-"),
        ", ".join(entry["capabilities"]) or "-",
        entry["loaded"]["processor"] if entry["loaded"] else "-",
        (f"{entry['digest'][:12]} ≠", "warn") if entry["differs"] else entry["digest"][:12],
    ]


def show_model(session: Session, model: str, instance: str | None) -> Outcome:
    """All about a model, from the first server that has it."""
    inventory = gather(session)
    order = [instance] if instance else [*inventory.reachable_members(), *inventory.servers]
    failure: StackctlError | None = None
    for server in inventory.chosen(order):
        if not server.enabled:
            continue
        try:
            with inventory.connect(server) as client:
                return _shown(server, model, client.show(model))
        except OllamaError as error:
            failure = failure if failure and error.kind is not Kind.NO_MODEL else error
    if isinstance(failure, OllamaError) and failure.kind is Kind.NO_MODEL:
        raise no_such_model(inventory, model, stocks(inventory, inventory.chosen(order)))
    raise failure or UsageError("no Ollama to ask", hint=NO_SERVERS)


def _shown(server: Server, model: str, document: dict[str, Any]) -> Outcome:
    details, info = mapping(document.get("details")), mapping(document.get("model_info"))
    architecture = plain(info.get("general.architecture") or details.get("family") or "", 60)
    facts = {
        "model": model,
        "instance": server.name,
        "architecture": architecture,
        "parameters": plain(details.get("parameter_size") or "", 20),
        "quantization": plain(details.get("quantization_level") or "", 20),
        "context length": plain(info.get(f"{architecture}.context_length") or "", 20),
        "embedding length": plain(info.get(f"{architecture}.embedding_length") or "", 20),
        "capabilities": ", ".join(plain(c, 40) for c in document.get("capabilities") or [] if isinstance(c, str)),
        "modified": plain(document.get("modified_at") or "", 40),
        "runs at": plain(document.get("remote_host") or "", 100),
    }
    blocks: list[Block] = [Line(f"{name:<18}{value}") for name, value in facts.items() if value]
    for key in ("parameters", "system", "license"):
        text = document.get(key)
        if isinstance(text, str) and text.strip():
            lines = printable(text[:2000]).strip().splitlines()[:8]
            blocks += [Line(""), Line(key, "strong"), Verbatim("\n".join(f"  {line}" for line in lines) + "\n")]
    return Outcome("stackctl.model/1", {"instance": server.name, "model": model, "show": document}, blocks)


def no_such_model(
    inventory: Inventory, model: str, found: Sequence[ServerModels], *, registry: bool = False
) -> OllamaError:
    """The error for a model that no server has; its hint suggests similar names from servers, file and library."""
    here = [m.name for stock in found for m in stock.models]
    wanted = [name for server in found for name in inventory.required(server.server.name)]
    candidates = [*wanted, *here, *(WELL_KNOWN if registry else ())]
    close = [name for name in model_names.nearest(model, candidates) if not model_names.same(name, model)]
    if not model_names.is_valid(model):
        return OllamaError(
            Kind.BAD_NAME,
            f'"{plain(model, 100)}" is no model name',
            hint=f"did you mean {close[0]}?" if close else "a name looks like qwen3:8b",
        )
    where = "the registry has no such model or tag" if registry else f"no instance has the model {model}"
    text = f"{model}: {where}" if registry else where
    hint = (
        f"did you mean {' or '.join(close)}?"
        if close
        else ("look it up at https://ollama.com/library" if registry else f"stackctl models pull {model}")
    )
    return OllamaError(Kind.NO_MODEL, text, hint=hint)
