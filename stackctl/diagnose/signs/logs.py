"""Signs in logs: stable parts of lines, as Ollama, its runners and its clients write them.

Sources: ollama/ollama v0.33 (``discover/``, ``llm/``, ``server/``) and the
threads that the catalogue cites; both families of runner texts are taken.
"""

from __future__ import annotations

import re

from stackctl.diagnose.signs.board import Board, Case

_SERVER: tuple[tuple[str, str], ...] = (
    (r'unknown command "(?:ollama|/bin/sh|/bin/ollama|sh)" for "ollama"', "log.entrypoint"),
    (r"permission denied.*(?:\.ollama|id_ed25519)|(?:\.ollama|id_ed25519).*[Pp]ermission denied", "log.permission"),
    (r"ensure path elements are traversable", "log.permission"),
    (r"bind: cannot assign requested address", "log.bind_absent"),
    (r"bind: address already in use", "log.bind_busy"),
    (r"no space left on device", "log.disk"),
    (r"pull model manifest: 412|requires a newer version of Ollama", "log.needs_newer"),
    (r"unknown model architecture|may be incompatible with your version of Ollama", "log.architecture"),
    (r"truncating input prompt", "log.truncated"),
    (r"max retries exceeded|part \d+ attempt \d+ failed", "log.pull_interrupted"),
    (r"lookup registry\.ollama\.ai|lookup [^ ]*cloudflarestorage\.com", "log.pull_dns"),
    (r"(?:registry\.ollama\.ai|cloudflarestorage|:443)[^\n]*i/o timeout", "log.pull_blocked"),
    (r"pull model manifest: file does not exist", "log.pull_typo"),
    (r"ssh: no key found", "log.empty_key"),
    (r"digest mismatch, file must be downloaded again", "log.digest"),
    (r"x509: certificate signed by unknown authority|tls: failed to verify certificate", "log.interception"),
    (r"client connection closed before (?:llama-)?server finished loading", "log.client_left"),
    (r"\|\s*(?:499|500)\s*\|\s*5m0s", "log.five_minutes"),
    (r"requires more system memory", "log.memory"),
    (r"cudaMalloc failed|CUDA error: out of memory|runtime OOM detected", "log.vram"),
    (r"signal: killed", "log.runner_killed"),
    (r"illegal instruction", "log.illegal"),
    (r"Failed to initialize NVML: Unknown Error", "log.nvml_unknown"),
    (r"[Dd]river/library version mismatch", "log.nvml_mismatch"),
    (r"NVIDIA driver too old|CUDA driver version is insufficient", "log.driver_old"),
    (r"cuInit err(?:or)?:? ?(?:999|100|3\b|46)", "log.uvm"),
    (r"open /dev/kfd: permission denied|kfd driver not loaded", "log.kfd"),
    (r"no ROCm-capable device|dropping ROCm device|failed to finish discovery before timeout", "log.rocm"),
    (r"no compatible GPUs were discovered|id=cpu library=cpu", "log.cpu_only"),
    (r"pthread_create failed|can't start new thread|Resource temporarily unavailable", "log.threads"),
    (r"maximum pending requests exceeded", "log.busy"),
    (r"does not support (?:tools|chat|generate|thinking)", "log.capability"),
)

_CLIENT: tuple[tuple[str, str], ...] = (
    (r"UND_ERR_HEADERS_TIMEOUT|HeadersTimeoutError|timeout of 300000ms|Headers Timeout Error", "client.five_minutes"),
    (r"\b524\b", "client.524"),
    (r"\b504\b.*Gateway|Gateway Time-?out", "client.504"),
    (r"\b413\b|Request Entity Too Large", "client.413"),
    (r"does not support (?:tools|chat|generate|thinking)", "log.capability"),
    (r"412: The model you are attempting to pull|requires a newer version of Ollama", "log.needs_newer"),
    (r"pull model manifest: file does not exist", "log.pull_typo"),
    (r"max retries exceeded", "log.pull_interrupted"),
    (r"lookup registry\.ollama\.ai", "log.pull_dns"),
    (r"can't start new thread|pthread_create failed", "log.threads"),
)

_TOWARDS = re.compile(
    r"(?:connect ECONNREFUSED|ENOTFOUND|EAI_AGAIN|getaddrinfo \w+|[Cc]annot connect to host|dial tcp(?:: lookup)?"
    r"|Failed to connect to|[Cc]onnection (?:refused|error)[^\n]{0,40}?|Max retries exceeded with url[^\n]{0,60}?host="
    r"|HTTPConnectionPool\(host=|Failed to resolve)\s*[:=(]?\s*['\"]?(?:https?://)?"
    r"(?P<host>[A-Za-z0-9_.-]*[A-Za-z0-9])['\"]?(?:(?::|, ?port[= ]| port )(?P<port>\d{2,5}))?"
)
_PREFIX_LOST = re.compile(
    r"\b404\b[^\n]*?https?://[^/\s\"']+(?P<path>/api/[a-z]+)|(?P<path2>/api/[a-z]+)[^\n]{0,40}\b404\b"
)


def of_server(text: str, board: Board, name: str) -> None:
    """Lines of an Ollama server's own log."""
    _match(text, _SERVER, board, name)


_OF_PULLS = ("log.pull", "log.needs_newer", "log.interception", "log.digest", "log.empty_key", "log.disk")


def of_puller(text: str, board: Board, name: str) -> None:
    """Lines of a container that only pulls models."""
    _match(text, tuple(row for row in _SERVER if row[1].startswith(_OF_PULLS)), board, name)


def read(case: Case, board: Board) -> None:
    """Lines of the consumer's log: where it really goes, and what it was answered."""
    if case.container is None:
        return
    text = case.scene.logs.get(case.container.name, "")
    _match(text, _CLIENT, board, case.container.name)
    board.note("log.read") if text else None
    if case.told.url is None:
        return
    told = {(t.url.host, t.url.port) for t in case.scene.told if t.consumer == case.told.consumer and t.url}
    for match in _TOWARDS.finditer(text):
        host, port = match["host"], int(match["port"] or 0)
        if "." not in host and host not in case.scene.project.services and "ollama" not in host and host != "localhost":
            continue
        if port == 0 or host in {h for h, _ in told} or (host, port) in told or _is_address_of(case, host):
            continue
        if port in (case.told.url.port, 11434) or "ollama" in host:
            board.note(
                "log.other_host",
                f"the log of {case.container.name} speaks of {host}:{port}: {_line_of(text, match.start())}",
                other_host=f"{host}:{port}",
            )
    if case.told.url.prefix:
        lost = _PREFIX_LOST.search(text)
        if lost and case.told.url.prefix not in _line_of(text, lost.start()):
            board.note("log.prefix_lost", f"the log of {case.container.name}: {_line_of(text, lost.start())}")
    if re.search(r"\b403\b", text) and "/api/" in text:
        board.note("client.403", f"the log of {case.container.name} holds a 403 of the API")
    _denied(case, board)
    _stale_upstream(case, board)


def _is_address_of(case: Case, host: str) -> bool:
    return any(host == c.address for c in case.aim.connected)


def _denied(case: Case, board: Board) -> None:
    """The server's access log: a 403 for this consumer, where the probe was let in."""
    target = case.target
    if target is None or case.container is None:
        return
    text = case.scene.logs.get(target.name, "")
    for endpoint in case.container.networks.values():
        address = endpoint.get("IPAddress")
        if address and re.search(rf"\|\s*403\s*\|[^\n|]*\|\s*{re.escape(address)}\s*\|", text):
            board.note(
                "access.403", f"the log of {target.name} answers 403 to {address}, which is {case.container.name}"
            )


def _stale_upstream(case: Case, board: Board) -> None:
    """Nginx's own words for an upstream address that is nobody's any more."""
    target = case.target
    if target is None:
        return
    text = case.scene.logs.get(target.name, "")
    for match in re.finditer(
        r"connect\(\) failed \((\d+): [^)]*\)[^\n]*upstream: \"https?://(\d+\.\d+\.\d+\.\d+):(\d+)", text
    ):
        owner = case.scene.owner_of(match[2])
        stale = owner is None or owner.service not in case.scene.ollama_services
        sign = "upstream.stale" if stale and case.scene.ollama_services else "upstream.down"
        board.note(sign, f"the log of {target.name}: {match[0][:150]}", upstream=f"{match[2]}:{match[3]}")


def failed_towards(text: str, host: str, port: int) -> bool:
    """Whether a log holds a refused or unresolved connection to this host and port."""
    return any(m["host"] == host and (not m["port"] or int(m["port"]) == port) for m in _TOWARDS.finditer(text))


def _match(text: str, table: tuple[tuple[str, str], ...], board: Board, name: str) -> None:
    for pattern, sign in table:
        found = re.search(pattern, text)
        if found:
            board.note(sign, f"the log of {name}: {_line_of(text, found.start())}")


def _line_of(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return " ".join(text[start : end if end >= 0 else len(text)].split())[:180]
