"""Which models a consumer asks for: the variables that stand beside its address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from stackctl.project.compose import Service
from stackctl.project.discovery import names
from stackctl.project.discovery.findings import ModelSetting, Setting

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_.-]+)?")
_FULL = re.compile(r"(?:hf\.co/|[a-z0-9_-]+/)?[A-Za-z0-9_][A-Za-z0-9_./-]*(?::[A-Za-z0-9_.-]+)?")
_ROUTED = re.compile(r"(?:ollama|ollama_chat)/")
"""How LiteLLM and its like say that a model is one of an Ollama."""
_FAMILIES = re.compile(
    r"(?i)(?:tiny|code|wizard)?llama|qwen|qwq|mi[sx]tral|gemma|embeddinggemma|phi[-\d]|nomic-embed|mxbai-embed|bge-|all-minilm|"
    r"snowflake-arctic|deepseek-|smollm|granite|llava|moondream|command-r|starcoder|codestral|gpt-oss|dolphin|"
    r"hermes|vicuna|orca|falcon|olmo|cogito|devstral|magistral"
)
_ELSEWHERE = re.compile(
    r"(?i)(?:gpt-(?!oss)|chatgpt|o[134](?:-|$)|claude|gemini|text-embedding|text-davinci|whisper|tts-|dall-e|sonar|grok|"
    r"sentence[-_]|ft:|(?:anthropic|amazon|meta|mistral|cohere|ai21)\.)"
)
_ASIDE = {
    "whisper", "tts", "stt", "asr", "rerank", "reranker", "reranking", "image", "speech", "voice", "clip", "provider",
    "type", "path", "dir", "directory", "cache", "file", "download", "max", "num", "size", "dim", "dimension",
    "dimensions", "timeout", "context", "openai", "anthropic", "gemini", "groq", "azure", "claude", "mistral", "vllm",
}  # fmt: skip


def full_name(model: str) -> str:
    """A model's name with its tag, as Ollama compares it."""
    short = model.strip().lower()
    return short if ":" in short.rsplit("/", 1)[-1] else f"{short}:latest"


def models_of(service: Service, settings: Iterable[Setting], places: dict[str, str]) -> Iterator[ModelSetting]:
    """The models that the service names in its variables, each with the address variables that it belongs to.

    ``places`` is where each variable is written.
    """
    told = [s for s in settings if s.name and s.kind in ("env", "env_file")]
    if not told:
        return
    for name, value in service.environment.items():
        text = (value or "").strip().strip("'\"")
        if not text or not _is_model(name):
            continue
        beside = _beside(name, text, told)
        if not beside:
            continue
        same_stem = any(_stem(s.name or "") & _stem(name) for s in beside)
        for part in re.split(r"\s*[,;]\s*", text):
            routed = _ROUTED.match(part)
            model = part[routed.end() :] if routed else part
            if _is_plausible(name, model, same_stem=same_stem or bool(routed), service=service):
                template = (routed[0] if routed else "") + "{model}" if part == text else None
                yield ModelSetting(
                    name,
                    text,
                    model,
                    template,
                    places.get(name, ""),
                    frozenset(s.name or "" for s in beside),
                    _embeds(name, model),
                )


def _is_model(name: str) -> bool:
    parts = names.words(name)
    while parts and parts[-1].isdigit():
        parts = parts[:-1]
    if not parts or set(parts) & _ASIDE:
        return False
    return parts[-1] in ("model", "models") or (len(parts) > 1 and parts[-2] == "model" and parts[-1] in ("name", "id"))


def _embeds(name: str, model: str) -> bool:
    return any(w.startswith("embed") for w in names.words(name)) or "embed" in model.lower()


def _stem(name: str) -> set[str]:
    """The words that say what a variable is for, those of every address and every model left out."""
    common = {
        "url",
        "urls",
        "uri",
        "base",
        "host",
        "endpoint",
        "api",
        "server",
        "model",
        "models",
        "name",
        "id",
        "port",
    }
    return {"embed" if w.startswith("embed") else w for w in names.words(name)} - common


def _beside(name: str, model: str, told: list[Setting]) -> list[Setting]:
    """The address variables that the model is asked through: those for embeddings, or all the others."""
    embeds = _embeds(name, model)
    apart = [s for s in told if "embed" in _stem(s.name or "")]
    mine = apart if embeds and apart else [s for s in told if s not in apart] if apart else told
    if len({server for s in mine for server in s.servers}) < 2:
        return mine
    return [s for s in mine if _stem(s.name or "") & _stem(name)]


def _is_plausible(name: str, model: str, *, same_stem: bool, service: Service) -> bool:
    if _ELSEWHERE.match(model) or not _FULL.fullmatch(model):
        return False
    if names.says_ollama(name) or same_stem:
        return True
    if not _NAME.fullmatch(model):
        return False
    if ":" in model or _FAMILIES.match(model):
        return True
    return names.words(name)[0] == "llm" and not any(
        (value or "").strip() and name.upper().endswith("API_KEY") for name, value in service.environment.items()
    )
