"""What the name of a variable says about its value."""

from __future__ import annotations

import re
from functools import cache

_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_FUSED = re.compile(r"^(ollama)(api|base|server|proxy)?(url|uri|host|endpoint|port|ip|address|base)?$")
_ANYWHERE = {"url", "urls", "uri", "endpoint", "endpoints", "baseurl", "apibase"}
_LAST = {
    "host",
    "hosts",
    "hostname",
    "base",
    "origin",
    "server",
    "servers",
    "address",
    "addr",
    "ip",
    "domain",
    "path",
    "api",
    "proxy",
}
_NOT_FIRST = {"enable", "enabled", "use", "disable", "is", "has", "allow", "skip", "require", "no", "with"}
_NEVER = {
    "model",
    "models",
    "key",
    "token",
    "timeout",
    "version",
    "tag",
    "origins",
    "cors",
    "allowed",
    "keep",
    "optional",
    "password",
    "secret",
    "docs",
    "icon",
    "redirect",
    "callback",
    "webhook",
    "image",
}
_LLM = {
    "llm",
    "ai",
    "openai",
    "model",
    "inference",
    "chat",
    "embedding",
    "embeddings",
    "embed",
    "agent",
    "completion",
    "gpt",
}
_OTHER_PROVIDERS = {
    "azure",
    "anthropic",
    "claude",
    "groq",
    "gemini",
    "google",
    "mistral",
    "cohere",
    "deepseek",
    "openrouter",
    "bedrock",
    "huggingface",
    "hf",
    "tei",
    "vllm",
    "lmstudio",
    "localai",
    "xai",
    "grok",
    "together",
    "fireworks",
    "perplexity",
    "litellm",
    "moonshot",
    "qwen",
    "dashscope",
    "zhipu",
    "siliconflow",
    "voyage",
    "jina",
    "nvidia",
    "cerebras",
    "aws",
    "whatsapp",
    "telegram",
    "slack",
    "langchain",
    "langsmith",
    "langfuse",
    "custom",
}
_PROXY_LISTS = {"no_proxy"}
_PLATFORM = re.compile(r"^SERVICE_(?:URL|FQDN|USER|PASSWORD|BASE64)_")


@cache
def words(name: str) -> tuple[str, ...]:
    """The words of a variable's name, lower case: ``MCP__Endpoint`` is ``mcp endpoint``."""
    found: list[str] = []
    for word in _SPLIT.split(name):
        lower = word.lower()
        fused = _FUSED.match(lower)
        found.extend(part for part in fused.groups() if part) if fused else found.append(lower)
    return tuple(w for w in found if w)


def is_noise(name: str) -> bool:
    """Names whose value may hold an address and never is one to call: proxy exceptions, CORS, platform magic.

    ``SERVICE_URL_X`` and ``SERVICE_FQDN_X`` are Coolify's own, and mean the service that they stand in.
    """
    if name.lower() in _PROXY_LISTS or _PLATFORM.match(name):
        return True
    parts = set(words(name))
    return bool(parts & {"cors", "origins"}) or parts >= {"allowed", "hosts"} or parts >= {"trusted", "hosts"}


def says_ollama(name: str) -> bool:
    """Whether one whole word of the name is ``ollama``: ``CHATOLLAMA_URL`` does not say it."""
    return "ollama" in words(name)


def is_address(name: str) -> bool:
    """Whether the name is one of an address: it speaks of a URL, or ends in host, base, origin, …"""
    parts = _trimmed(name)
    if not parts or parts[0] in _NOT_FIRST or _PLATFORM.match(name):
        return False
    if parts[-1] in _LAST or parts[-1] in _ANYWHERE:
        return True
    return bool(set(parts) & _ANYWHERE) and not set(parts) & _NEVER


def may_be_address(name: str) -> bool:
    """Whether nothing in the name speaks against an address, where its value is a URL: ``OLLAMA_PRIMARY``."""
    parts = _trimmed(name)
    return bool(parts) and parts[0] not in _NOT_FIRST and not set(parts) & _NEVER and not is_noise(name)


def is_port(name: str) -> bool:
    """Whether the name is one of a port alone."""
    parts = _trimmed(name)
    return bool(parts) and parts[-1] == "port"


def is_host(name: str) -> bool:
    """Whether the name is one of a host alone, with the port elsewhere."""
    parts = _trimmed(name)
    return bool(parts) and parts[-1] in {"host", "hostname", "ip", "addr", "address", "server", "domain"}


def is_openai(name: str) -> bool:
    """Whether the name is one of an OpenAI-compatible endpoint: its clients add no ``/v1`` themselves."""
    parts = words(name)
    return ("openai" in parts or parts[:2] == ("open", "ai")) and is_address(name) and not set(parts) & _OTHER_PROVIDERS


def is_model_endpoint(name: str) -> bool:
    """Whether the name is one of the endpoint of some language model, of no named provider."""
    parts = set(words(name))
    return bool(parts & _LLM) and bool(parts & _ANYWHERE or words(name)[-1] == "base") and not parts & _OTHER_PROVIDERS


def partner_ports(name: str) -> list[str]:
    """Names under which the port of the host variable ``name`` may stand, likeliest first."""
    found = []
    for pattern in (
        r"HOST[_-]?IP$",
        r"HOSTNAME$",
        r"HOST$",
        r"IP$",
        r"ADDRESS$",
        r"ADDR$",
        r"SERVER$",
        r"DOMAIN$",
        r"URL$",
        r"URI$",
    ):
        match = re.search(pattern, name, re.IGNORECASE)
        if match:
            port = "port" if match[0].islower() else "Port" if not match[0].isupper() else "PORT"
            found += [name[: match.start()] + port, f"{name}_{port}"]
    return list(dict.fromkeys(found))


@cache
def _trimmed(name: str) -> tuple[str, ...]:
    parts = words(name)
    while parts and parts[-1].isdigit():
        parts = parts[:-1]
    return parts
