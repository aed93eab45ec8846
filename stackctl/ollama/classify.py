"""Turns statuses and error texts of a server into an :class:`OllamaError`.

Texts and statuses: ollama 0.33 (server/images.go, server/download.go, server/routes.go,
llm/llama_server.go) and, where marked, releases before 0.30.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from stackctl.ollama.errors import Kind, OllamaError
from stackctl.ollama.text import mapping, plain

# pattern, kind, message ({0} is the server's own text), hint
_TEXTS: tuple[tuple[str, Kind, str, str], ...] = (
    (
        r"no space left on device|disk quota exceeded",
        Kind.DISK_FULL,
        "the disk of the Ollama server is full",
        "free space where its models are (df -h there), or remove a model: stackctl models rm MODEL",
    ),
    (
        r"412: |newer version of ollama|requires a newer version",
        Kind.TOO_OLD,
        "this model needs a newer Ollama than the server runs",
        "update the Ollama server",
    ),
    (
        r"pull model manifest: file does not exist|manifest unknown",
        Kind.NO_MODEL,
        "the registry has no such model or tag",
        "",
    ),
    (
        r"unauthorized: access denied|realm host .* does not match|pull model manifest: 40[13]",
        Kind.REGISTRY_REFUSED,
        "the registry refuses access to this model",
        "sign in on the server: ollama signin",
    ),
    (
        r"ssh: no key found|id_ed25519|private key",
        Kind.REGISTRY_REFUSED,
        "the Ollama server cannot use its own key: {0}",
        "move ~/.ollama/id_ed25519 away on that server and restart it: it makes a new one",
    ),
    (
        r"max retries exceeded",
        Kind.REGISTRY_UNREACHABLE,
        "the download gave up after several tries",
        "run it again: what was fetched is kept",
    ),
    (
        r"digest mismatch, file must be downloaded again",
        Kind.CORRUPT,
        "the download arrived damaged",
        "run it again: the damaged part is fetched anew",
    ),
    (
        (
            r"(pull model manifest|registry|blob|manifest).*(no such host|connection refused|i/o timeout"
            r"|network is unreachable|no route to host|proxyconnect|tls: |x509: |TLS handshake|context deadline|EOF)"
        ),
        Kind.REGISTRY_UNREACHABLE,
        "the Ollama server cannot reach the model registry: {0}",
        "on that server, look at DNS, proxy (HTTPS_PROXY) and firewall towards the registry",
    ),
    (
        r"pull model manifest: invalid character '<'",
        Kind.REGISTRY_UNREACHABLE,
        "the Ollama server got a web page instead of the registry (a captive portal or a proxy)",
        "give the server a direct way to the registry, or set HTTPS_PROXY for it",
    ),
    (
        r"pull model manifest: (?:429|5\d\d)",
        Kind.REGISTRY_UNREACHABLE,
        "the model registry cannot serve now: {0}",
        "try again later",
    ),
    (
        r"MLX runtime is not available",
        Kind.UNSUPPORTED,
        "this model needs MLX, which the server does not have",
        "choose a GGUF variant of the model",
    ),
    (
        r"model .*not found|not found, try pulling|no such file or directory|couldn't find model",
        Kind.NO_MODEL,
        "{0}",
        "stackctl models pull MODEL",
    ),
    (
        r"invalid model name|(?:name|source|destination) \"[^\"]*\" is invalid|model is required|not both: ",
        Kind.BAD_NAME,
        "{0}",
        "",
    ),
    (r"does not support", Kind.UNSUPPORTED, "{0}", "choose a model that has it: stackctl models list"),
    (
        r"(?:exceeds?|longer than) (?:the |the maximum |maximum )?(?:available )?context|input length exceeds",
        Kind.CONTEXT,
        "{0}",
        "raise the context: OLLAMA_CONTEXT_LENGTH on the server",
    ),
    (
        r"out of memory|out-of-memory|cudaMalloc failed|requires more system memory|unable to allocate",
        Kind.MEMORY,
        "the server has not enough memory for this model: {0}",
        "choose a smaller model or quantisation, or lower OLLAMA_CONTEXT_LENGTH and OLLAMA_NUM_PARALLEL",
    ),
    (
        r"maximum pending requests|server busy",
        Kind.OVERLOADED,
        "the server is busy: its queue is full",
        "try again later, or raise OLLAMA_MAX_QUEUE and OLLAMA_NUM_PARALLEL",
    ),
    (
        r"timed out waiting for (?:llama-server|llama runner) to start",
        Kind.LOAD,
        "the model did not load in time: {0}",
        "raise OLLAMA_LOAD_TIMEOUT on the server, or look at its log",
    ),
    (r"binary not found", Kind.LOAD, "the Ollama installation is broken: {0}", "install Ollama again on the server"),
    (
        r"may be incompatible with your version",
        Kind.TOO_OLD,
        "this model file does not fit the server's version",
        "pull it again: stackctl models pull MODEL",
    ),
    (
        (
            r"(?:llama-server process|llama runner process) has terminated|runner has unexpectedly stopped"
            r"|error was encountered while running the model"
        ),
        Kind.RUNNER,
        "the model's runner died: {0}",
        "look at the server's log",
    ),
    (
        r"signin_url|^unauthorized$|not currently signed in",
        Kind.CLOUD,
        "this is a cloud model and the server is not signed in",
        "on the server: ollama signin",
    ),
    (r"cloud is disabled|cannot run this remote model|account unavailable", Kind.CLOUD, "{0}", ""),
)
_COMPILED = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), kind, message, hint) for pattern, kind, message, hint in _TEXTS
)


def from_text(text: str, *, status: int | None = None) -> OllamaError:
    """The error that a server's own error text means."""
    shown = plain(text)
    for pattern, kind, message, hint in _COMPILED:
        if pattern.search(text[:4000]):
            return OllamaError(kind, message.format(shown), hint=hint, status=status)
    return OllamaError(Kind.OTHER, f"the Ollama server answers an error: {shown or 'no text'}", status=status)


_LOGIN = re.compile(r"log-?in|sign-?in|auth|sso", re.IGNORECASE)


def _redirect(status: int, location: str, url: str) -> OllamaError:
    """The error for a redirect; the query is cut off, since login pages carry secrets in it."""
    to = location.partition("?")[0].partition("#")[0]
    try:
        elsewhere = bool(urlsplit(to).hostname) and urlsplit(to).hostname != urlsplit(url).hostname
    except ValueError:
        elsewhere = True
    login = elsewhere or _LOGIN.search(to)
    hint = (
        "if that is a login page, give the instance its `auth`; else write that address in `url`"
        if login
        else "write the address that it redirects to in `url`"
    )
    return OllamaError(
        Kind.REDIRECT, f"{url} redirects to {plain(to, 200) or 'somewhere else'}", status=status, hint=hint
    )


def from_status(status: int, body: str, *, url: str, headers: Any = None) -> OllamaError:
    """The error that an HTTP status other than 2xx means; ``headers`` is a mapping that ignores case."""
    head = headers or {}
    text = error_text(body)
    if status in (301, 302, 303, 307, 308):
        return _redirect(status, str(head.get("location") or ""), url)
    if status == 401 and text and "signin_url" in body:
        return from_text("signin_url", status=status)
    if status == 403 and not body.strip():
        return OllamaError(
            Kind.HOST_REFUSED,
            f"{url} refuses this host name (403 with an empty body)",
            status=status,
            hint="it is bound to loopback: set OLLAMA_HOST=0.0.0.0 there, or let a proxy send `Host: localhost`",
        )
    if status in (401, 407) or (status == 403 and not _is_ollama_error(body)):
        missing = "refuses the credentials" if status == 403 else "wants credentials, or others than it got"
        return OllamaError(
            Kind.UNAUTHORISED,
            f"{url} {missing} ({status})",
            status=status,
            hint="look at `auth` of the instance and at what its variable holds",
        )
    if status in (429, 503) and not (text and "account" in text):
        return OllamaError(
            Kind.OVERLOADED,
            f"{url} is busy ({status}){': ' + plain(text, 200) if text else ''}",
            status=status,
            hint="try again later, or raise OLLAMA_MAX_QUEUE and OLLAMA_NUM_PARALLEL",
        )
    if status in (502, 504) and not _is_ollama_error(body):
        return OllamaError(
            Kind.UPSTREAM,
            f"the proxy at {url} cannot reach its Ollama ({status})",
            status=status,
            hint="look at the Ollama behind that proxy",
        )
    if text and _is_ollama_error(body):
        return from_text(text, status=status)
    if status in (404, 405):
        return OllamaError(
            Kind.NOT_OLLAMA,
            f"{url} is no endpoint of an Ollama there ({status})",
            status=status,
            hint="look at the path prefix in `url` and at `endpoints`",
        )
    return OllamaError(Kind.OTHER, f"{url} answers {status}: {plain(body, 200) or 'nothing'}", status=status)


def not_ollama(url: str, body: str, why: str = "") -> OllamaError:
    """A 2xx answer that no Ollama gives."""
    looks = "a web page" if re.match(r"\s*<", body[:200]) else (why or "something else")
    return OllamaError(
        Kind.NOT_OLLAMA,
        f"{url} answers, but not as an Ollama does: it sent {looks}",
        hint="look at host, port and path prefix in `url`",
    )


def error_text(body: str) -> str:
    """The text of ``{"error": "…"}`` or ``{"error": {"message": "…"}}``; otherwise the body itself."""
    try:
        error = mapping(json.loads(body)).get("error")
    except (ValueError, RecursionError):
        return body
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) else body


def _is_ollama_error(body: str) -> bool:
    try:
        return "error" in mapping(json.loads(body))
    except (ValueError, RecursionError):
        return False
