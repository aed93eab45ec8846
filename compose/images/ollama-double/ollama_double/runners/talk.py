"""What the double says. Always the same for the same call, and it names the server that said it."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIRECTIVE = re.compile(r"\[double ([^\]]*)\]")
_MOST = 1e6  # tokens or seconds that a prompt may ask for
_TOKEN = re.compile(r"\s*\S+")
_FILLER = [
    "and",
    "the",
    "stream",
    "goes",
    "on",
    "word",
    "after",
    "word",
    "until",
    "it",
    "has",
    "said",
    "as",
    "many",
    "as",
    "it",
    "was",
    "asked",
    "for",
]


@dataclass(frozen=True)
class Ask:
    """A call, reduced to what the answer depends on."""

    server: str
    model: str
    prompt: str
    history: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    tools: list[Any] = field(default_factory=list)
    form: Any = None
    think: bool = False
    last_role: str = "user"


@dataclass(frozen=True)
class Answer:
    """The tokens of an answer and why it ended."""

    thinking: list[str]
    content: list[str]
    tool_calls: list[dict[str, Any]]
    reason: str
    prompt_tokens: int

    @property
    def count(self) -> int:
        """The number of tokens, at least one."""
        return max(1, len(self.thinking) + len(self.content) + len(self.tool_calls))


def tokens(text: str) -> list[str]:
    """Split text into words that keep the space before them, so that joining gives the text back."""
    found = _TOKEN.findall(text)
    rest = text[sum(map(len, found)) :]
    return [*found, rest] if rest else found


def directive(prompt: str) -> dict[str, float]:
    """Return the numbers of `[double tokens=200 tps=50 first=0.5 cut=10 error=5 stop=3]` in a prompt."""
    match = _DIRECTIVE.search(prompt)
    wanted: dict[str, float] = {}
    for pair in match.group(1).split() if match else []:
        key, _, value = pair.partition("=")
        with contextlib.suppress(ValueError):
            number = float(value)
            if math.isfinite(number):
                wanted[key] = min(number, _MOST)
    return wanted


def answer(ask: Ask) -> Answer:
    """Compose the answer to a call."""
    prompt_tokens = max(1, len(tokens(ask.history or ask.prompt)))
    thinking = tokens(f"The test double {ask.server} thinks for show.") if ask.think else []
    calls = _tool_calls(ask)
    if calls:
        return Answer(thinking, [], calls, "stop", prompt_tokens)
    text = _text(ask)
    stops = ask.options.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        if isinstance(stop, str) and stop and stop in text:
            text = text[: text.index(stop)]
    content = tokens(text)
    wanted = int(directive(ask.prompt).get("tokens", 0))
    if wanted and ask.form is None:
        content = (content + [f" {_FILLER[n % len(_FILLER)]}" for n in range(wanted)])[:wanted]
    limit = int(ask.options.get("num_predict", -1) or -1)
    reason = "stop"
    if 0 < limit < len(thinking) + len(content):
        thinking, content = thinking[:limit], content[: max(0, limit - len(thinking))]
        reason = "length"
    return Answer(thinking, content, [], reason, prompt_tokens)


def _text(ask: Ask) -> str:
    heard = " ".join(_DIRECTIVE.sub("", ask.prompt).split())[:400]
    if ask.form is None:
        said = f' You said: "{heard}"' if heard else ""
        return f"This is {ask.server}, a test double of Ollama, answering for {ask.model}.{said}"
    if isinstance(ask.form, dict):
        return json.dumps(_instance(ask.form, ask.server, 0), ensure_ascii=False)
    return json.dumps({"double": True, "server": ask.server, "model": ask.model, "echo": heard}, ensure_ascii=False)


def _instance(schema: Any, name: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > 20:
        return name
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _instance(schema[key][0], name, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {key: _instance(item, name, depth + 1) for key, item in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [_instance(schema.get("items"), name, depth + 1) for _ in range(max(1, int(schema.get("minItems", 1))))]
    return {"integer": int(schema.get("minimum", 1)), "number": 1.5, "boolean": True, "null": None}.get(kind, name)


def _tool_calls(ask: Ask) -> list[dict[str, Any]]:
    # A model decides by itself; the double calls each tool whose name stands in the last user message.
    if ask.last_role != "user":
        return []
    calls: list[dict[str, Any]] = []
    for tool in ask.tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        name = (function or {}).get("name")
        if name and re.search(rf"\b{re.escape(str(name))}\b", ask.prompt):
            arguments = _instance((function or {}).get("parameters") or {"type": "object"}, ask.server, 0)
            calls.append(
                {"id": f"call_{len(calls)}", "function": {"index": len(calls), "name": name, "arguments": arguments}}
            )
    return calls
