"""The models that the double's own registry has: names, sizes and what each can do.

Sizes are a thousandth of the real ones: blobs are true files with true digests, and small.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALLEST = 64 * 1024

# name | family | parameters | size in kB | context | embedding length | capabilities
_TABLE = """
tiny-chat            | llama      | 1.1M    | 96     | 4096   | 64   | completion
tiny-embed           | bert       | 0.5M    | 64     | 512    | 32   | embedding
tiny-think           | qwen3      | 1.2M    | 96     | 8192   | 64   | completion tools thinking
tiny-tools           | llama      | 1.1M    | 96     | 8192   | 64   | completion tools
tiny-vision          | gemma3     | 1.3M    | 96     | 8192   | 64   | completion vision
tiny-insert          | qwen2      | 1.1M    | 96     | 8192   | 64   | completion insert
all-minilm:22m       | bert       | 23M     | 46     | 512    | 384  | embedding
bge-m3:567m          | bert       | 566.70M | 1158   | 8192   | 1024 | embedding
deepseek-r1:8b       | qwen3      | 8.2B    | 5226   | 131072 | 4096 | completion thinking
gemma3:1b            | gemma3     | 999.89M | 816    | 32768  | 1152 | completion
gemma3:4b            | gemma3     | 4.3B    | 3339   | 131072 | 2560 | completion vision
gpt-oss:20b          | gptoss     | 20.9B   | 13794  | 131072 | 2880 | completion tools thinking
llama3.1:8b          | llama      | 8.0B    | 4921   | 131072 | 4096 | completion tools
llama3.2:1b          | llama      | 1.2B    | 1322   | 131072 | 2048 | completion tools
llama3.2:3b          | llama      | 3.2B    | 2020   | 131072 | 3072 | completion tools
llava:7b             | llama      | 7B      | 4733   | 32768  | 4096 | completion vision
mistral:7b           | llama      | 7.2B    | 4373   | 32768  | 4096 | completion tools
mxbai-embed-large    | bert       | 334M    | 670    | 512    | 1024 | embedding
nomic-embed-text     | nomic-bert | 137M    | 274    | 2048   | 768  | embedding
phi3:mini            | phi3       | 3.8B    | 2177   | 131072 | 3072 | completion
qwen2.5:0.5b         | qwen2      | 494.03M | 398    | 32768  | 896  | completion tools
qwen2.5:7b           | qwen2      | 7.6B    | 4683   | 32768  | 3584 | completion tools
qwen2.5-coder:7b     | qwen2      | 7.6B    | 4683   | 32768  | 3584 | completion tools insert
qwen3:0.6b           | qwen3      | 751.63M | 523    | 40960  | 1024 | completion tools thinking
qwen3:1.7b           | qwen3      | 2.0B    | 1359   | 40960  | 2048 | completion tools thinking
qwen3:4b             | qwen3      | 4.0B    | 2498   | 262144 | 2560 | completion tools thinking
qwen3:8b             | qwen3      | 8.2B    | 5226   | 40960  | 4096 | completion tools thinking
qwen3:14b            | qwen3      | 14.8B   | 9276   | 40960  | 5120 | completion tools thinking
qwen3:32b            | qwen3      | 32.8B   | 20201  | 40960  | 5120 | completion tools thinking
qwen3-embedding:0.6b | qwen3      | 595.78M | 639    | 32768  | 1024 | embedding
smollm2:135m         | llama      | 134.52M | 271    | 8192   | 576  | completion tools
"""
_LATEST = {
    "all-minilm": "22m", "bge-m3": "567m", "deepseek-r1": "8b", "gemma3": "4b", "gpt-oss": "20b", "llama3.1": "8b",
    "llama3.2": "3b", "llava": "7b", "mistral": "7b", "phi3": "mini", "qwen2.5": "7b", "qwen2.5-coder": "7b",
    "qwen3": "8b", "qwen3-embedding": "0.6b",
}  # fmt: skip
_TEMPLATE_PARTS = {
    "completion": "{{ if .System }}<|system|>{{ .System }}{{ end }}<|user|>{{ .Prompt }}<|assistant|>{{ .Response }}",
    "tools": "{{ range .Tools }}<|tool|>{{ . }}{{ end }}{{ range .Messages }}{{ .ToolCalls }}{{ end }}",
    "insert": "{{ if .Suffix }}<|prefix|>{{ .Prompt }}<|suffix|>{{ .Suffix }}<|middle|>{{ end }}",
    "thinking": "{{ if .Think }}<think>{{ .Thinking }}</think>{{ end }}",
}


@dataclass(frozen=True)
class Entry:
    """One model of the registry; `size` is in bytes and is that of the weights' blob."""

    name: str
    family: str
    parameters: str
    size: int
    context: int
    embedding: int
    capabilities: tuple[str, ...]

    @property
    def template(self) -> str:
        """A template whose parts tell the server what the model can do."""
        order = ("insert", "tools", "thinking", "completion")
        return "".join(_TEMPLATE_PARTS[part] for part in order if part in self.capabilities) or "{{ .Prompt }}"

    @property
    def metadata(self) -> dict[str, Any]:
        """The values of the weights' GGUF header."""
        family = self.family
        values: dict[str, Any] = {
            "general.architecture": family,
            "general.basename": self.name.partition(":")[0],
            "general.description": "test double, no weights",
            "general.file_type": 15,
            "general.parameter_count": parameter_count(self.parameters),
            f"{family}.block_count": 2,
            f"{family}.context_length": self.context,
            f"{family}.embedding_length": self.embedding,
            f"{family}.attention.head_count": 2,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": ["<s>", "</s>", "<unk>"],
        }
        if "embedding" in self.capabilities:
            values[f"{family}.pooling_type"] = 1
        if "vision" in self.capabilities:
            values[f"{family}.vision.block_count"] = 2
        return values


def parameter_count(text: str) -> int:
    """Turn `7.6B` into a number."""
    factor = {"K": 10**3, "M": 10**6, "B": 10**9}.get(text[-1:].upper(), 1)
    return int(float(text.rstrip("KMBkmb") or 0) * factor)


def built_in() -> dict[str, Entry]:
    """Return the table above, keyed by `model:tag`."""
    entries: dict[str, Entry] = {}
    for line in _TABLE.strip().splitlines():
        name, family, parameters, size, context, embedding, capabilities = (cell.strip() for cell in line.split("|"))
        full = name if ":" in name else f"{name}:latest"
        entry = Entry(
            name, family, parameters, int(size) * 1000, int(context), int(embedding), tuple(capabilities.split())
        )
        entries[full] = entry
        model, _, tag = full.partition(":")
        if _LATEST.get(model) == tag:
            entries[f"{model}:latest"] = entry
    return entries


def load(extra: str) -> dict[str, Entry]:
    """Add the models of `extra` (JSON text, or a path to a JSON file) to the built-in ones.

    `{"name:tag": {"size": bytes, "family": …, "parameters": …, "context": …, "embedding": …, "capabilities": […]}}`;
    every key may be left out, and null takes a model away. ValueError when it is no such document.
    """
    entries = built_in()
    if not extra:
        return entries
    text = extra if extra.lstrip().startswith("{") else Path(extra).read_text()
    for name, given in json.loads(text).items():
        full = name if ":" in name else f"{name}:latest"
        if given is None:
            entries.pop(full, None)
            continue
        entries[full] = _entry(name, given, entries.get(full))
    return entries


def _entry(name: str, given: Mapping[str, Any], base: Entry | None) -> Entry:
    known = base or Entry(name, "llama", "1.1M", SMALLEST, 4096, 64, ("completion",))
    return Entry(
        name,
        str(given.get("family", known.family)),
        str(given.get("parameters", known.parameters)),
        max(4096, int(given.get("size", known.size))),
        int(given.get("context", known.context)),
        int(given.get("embedding", known.embedding)),
        tuple(given.get("capabilities", known.capabilities)),
    )
