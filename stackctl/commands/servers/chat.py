"""``stackctl chat``: one answer or a dialogue, from the best healthy instance that has the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackctl.commands.context.session import Session
from stackctl.commands.servers.known_servers import Inventory, gather
from stackctl.commands.servers.models import NO_SERVERS, ServerModels, no_such_model, stocks
from stackctl.errors import ExpectedFailure, StackctlError, UsageError
from stackctl.ollama import model_names
from stackctl.ollama.chat import Broken, Reply, answer
from stackctl.ollama.listing import Model
from stackctl.ollama.server import Server
from stackctl.outcome import Line, Outcome

Write = Callable[[str, bool], None]
Ask = Callable[[], str | None]
"""The next line of a dialogue, or None at its end."""


@dataclass(frozen=True)
class Candidate:
    """A server that answers and has the model, under the name that it has there."""

    server: Server
    model: Model


@dataclass
class Dialogue:
    """The messages so far, the servers that can still be asked, and those that failed."""

    candidates: list[Candidate]
    write: Write
    inventory: Inventory
    messages: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def say(self, text: str) -> tuple[Candidate, Reply]:
        """One turn. Where a server fails before its first token, the next one is asked; a later failure is raised."""
        messages = [*self.messages, {"role": "user", "content": text}]
        error: StackctlError | None = None
        while self.candidates:
            candidate = self.candidates[0]
            try:
                with self.inventory.connect(candidate.server) as client:
                    reply = answer(client, candidate.model.name, messages, self.write, digest=candidate.model.digest)
            except Broken as broken:
                if broken.begun:
                    raise broken.error from None
                error = broken.error
                self.failed.append((candidate.server.name, broken.error.message))
                self.candidates.pop(0)
                if self.candidates:
                    following = self.candidates[0].server.name
                    self.inventory.session.reporter.warn(
                        f"{candidate.server.name}: {broken.error.message}; trying {following}"
                    )
                continue
            self.messages = [*messages, {"role": "assistant", "content": reply.text}]
            return candidate, reply
        raise error or ExpectedFailure("no instance is left to ask")


def chat(
    session: Session,
    prompt: str | None,
    ask: Ask,
    write: Write,
    *,
    instance: str | None = None,
    model: str | None = None,
) -> Outcome:
    """Answer ``prompt``, or, without one, each line that ``ask`` returns. ``write`` gets the text as it arrives."""
    if prompt is not None:
        _check_prompt(prompt)
    inventory = gather(session)
    with session.reporter.step("looking for a healthy instance"):
        candidates = choose(inventory, instance, model)
    dialogue = Dialogue(candidates, write, inventory)
    if prompt is not None:
        candidate, reply = dialogue.say(prompt)
        return _outcome(candidate, reply, dialogue)
    first = candidates[0]
    session.reporter.note(f"{first.model.name} on {first.server.name}; an empty line or Ctrl-D ends it")
    turn: tuple[Candidate, Reply] | None = None
    while (line := ask()) is not None and line.strip():
        turn = dialogue.say(line)
        write("\n", False)
        session.reporter.note(turn[1].figures.text)
    if turn is None:
        return Outcome("stackctl.chat/1", {"turns": 0}, [])
    return _outcome(*turn, dialogue, shown=True)


def _check_prompt(prompt: str) -> None:
    if not prompt.strip():
        raise UsageError("there is nothing to say", hint="stackctl chat 'Say hello'")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise UsageError("what is to be said is no UTF-8 text", hint="iconv -t UTF-8 FILE | stackctl chat") from None


def choose(inventory: Inventory, instance: str | None, model: str | None) -> list[Candidate]:
    """Servers that answer and have the model, best first. Where there is none, the error names the reason of each."""
    order = [instance] if instance else inventory.reachable_members()
    if not order:
        if inventory.members():
            inventory.server(inventory.members()[0])  # raises the reason why it cannot be asked
        raise UsageError("no Ollama to ask", hint=NO_SERVERS)
    found = stocks(inventory, inventory.chosen(order))
    found.sort(key=lambda stock: order.index(stock.server.name))
    candidates = [c for stock in found if (c := _candidate(inventory, stock, model))]
    if candidates:
        return candidates
    dead = [stock for stock in found if stock.error is not None]
    if len(dead) == len(found) and len(dead) == 1 and dead[0].error is not None:
        raise dead[0].error
    if dead:
        reasons = "; ".join(f"{s.server.name}: {s.error.message}" for s in dead if s.error)
        raise ExpectedFailure(
            f"no healthy instance has {model or 'a model'} ({reasons})", hint="stackctl instances test"
        )
    if model is None:
        raise ExpectedFailure("no instance has a model that can chat", hint="stackctl models sync")
    raise no_such_model(inventory, model, found)


def _candidate(inventory: Inventory, stock: ServerModels, wanted: str | None) -> Candidate | None:
    if stock.error is not None:
        return None
    known = {model.name: model for model in stock.models}
    if wanted is not None:
        name = model_names.find(wanted, known)
        return Candidate(stock.server, known[name]) if name else None
    for required in inventory.required(stock.server.name):
        name = model_names.find(required, known)
        if name and _can_chat(known[name]):
            return Candidate(stock.server, known[name])
    loaded = [known[name] for item in stock.loaded if (name := model_names.find(item.name, known))]
    best = next((model for model in [*loaded, *stock.models] if _can_chat(model)), None)
    return Candidate(stock.server, best) if best else None


def _can_chat(model: Model) -> bool:
    """Whether a model generates text. Ollama before 0.30 lists no capabilities: embedding models are known by name."""
    if model.capabilities:
        return "completion" in model.capabilities
    return "bert" not in model.family and "embed" not in model.name


def _outcome(candidate: Candidate, reply: Reply, dialogue: Dialogue, *, shown: bool = False) -> Outcome:
    data = {
        "instance": candidate.server.name,
        "model": candidate.model.name,
        "reply": reply.text,
        "thinking": reply.thinking or None,
        "done_reason": reply.reason or None,
        "figures": reply.figures.document(),
        "failed": [{"instance": name, "message": message} for name, message in dialogue.failed],
        "turns": len(dialogue.messages) // 2,
    }
    blocks: Sequence[Line] = []
    if not shown:
        where = f"{candidate.model.name} on {candidate.server.name}"
        blocks = [Line(""), Line(f"{where}: {reply.figures.text}", "dim")]
    return Outcome("stackctl.chat/1", data, blocks)
