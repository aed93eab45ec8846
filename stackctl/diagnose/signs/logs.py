"""Signs in logs: stable parts of lines, as Ollama, its runners and its clients write them.

Sources: ollama/ollama v0.33 (``discover/``, ``llm/``, ``server/``) and the
threads that the catalogue cites; both families of runner texts are taken.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import STANDARD_PORT, Board, Case
from stackctl.redaction import by_place

_SERVER: tuple[tuple[str, Sign], ...] = (
    (r'unknown command "(?:ollama|/bin/sh|/bin/ollama|sh)" for "ollama"', Sign.LOG_ENTRYPOINT),
    (r"permission denied.*(?:\.ollama|id_ed25519)|(?:\.ollama|id_ed25519).*[Pp]ermission denied", Sign.LOG_PERMISSION),
    (r"ensure path elements are traversable|\.ollama[^\n]*[Rr]ead-only file system", Sign.LOG_PERMISSION),
    (r"[Rr]ead-only file system[^\n]*\.ollama", Sign.LOG_PERMISSION),
    (r"bind: cannot assign requested address", Sign.LOG_BIND_ABSENT),
    (r"no space left on device", Sign.LOG_DISK),
    (r"pull model manifest: 412|requires a newer version of Ollama", Sign.LOG_NEEDS_NEWER),
    (r"unknown model architecture|may be incompatible with your version of Ollama", Sign.LOG_ARCHITECTURE),
    (r"truncating input prompt", Sign.LOG_TRUNCATED),
    (r"max retries exceeded|part \d+ attempt \d+ failed", Sign.LOG_PULL_INTERRUPTED),
    (r"lookup registry\.ollama\.ai|lookup [^ ]*cloudflarestorage\.com", Sign.LOG_PULL_DNS),
    (r"(?:registry\.ollama\.ai|cloudflarestorage|:443)[^\n]*i/o timeout", Sign.LOG_PULL_BLOCKED),
    (r"pull model manifest: file does not exist", Sign.LOG_PULL_TYPO),
    (r"ssh: no key found", Sign.LOG_EMPTY_KEY),
    (r"digest mismatch, file must be downloaded again", Sign.LOG_DIGEST),
    (r"x509: certificate signed by unknown authority|tls: failed to verify certificate", Sign.LOG_INTERCEPTION),
    (r"client connection closed before (?:llama-)?server finished loading", Sign.LOG_CLIENT_LEFT),
    (r"\|\s*(?:499|500)\s*\|\s*5m0s", Sign.LOG_FIVE_MINUTES),
    (r"requires more system memory", Sign.LOG_MEMORY),
    (r"cudaMalloc failed|CUDA error: out of memory|runtime OOM detected", Sign.LOG_VRAM),
    (r"signal: killed", Sign.LOG_RUNNER_KILLED),
    (r"illegal instruction", Sign.LOG_ILLEGAL),
    (r"Failed to initialize NVML: Unknown Error", Sign.LOG_NVML_UNKNOWN),
    (r"[Dd]river/library version mismatch", Sign.LOG_NVML_MISMATCH),
    (r"NVIDIA driver too old|CUDA driver version is insufficient", Sign.LOG_DRIVER_OLD),
    (r"cuInit err(?:or)?:? ?(?:999|100|3\b|46)", Sign.LOG_UVM),
    (r"open /dev/kfd: permission denied|kfd driver not loaded", Sign.LOG_KFD),
    (r"no ROCm-capable device|dropping ROCm device|failed to finish discovery before timeout", Sign.LOG_ROCM),
    (r"pthread_create failed|can't start new thread|Resource temporarily unavailable", Sign.LOG_THREADS),
    (r"maximum pending requests exceeded", Sign.LOG_BUSY),
    (r"does not support (?:tools|chat|generate|thinking)", Sign.LOG_CAPABILITY),
)

_CLIENT: tuple[tuple[str, Sign], ...] = (
    (
        r"UND_ERR_HEADERS_TIMEOUT|HeadersTimeoutError|timeout of 300000ms|Headers Timeout Error",
        Sign.CLIENT_FIVE_MINUTES,
    ),
    (r"\b524\b", Sign.CLIENT_524),
    (r"\b504\b.*Gateway|Gateway Time-?out", Sign.CLIENT_504),
    (r"\b413\b|Request Entity Too Large", Sign.CLIENT_413),
    (r"requires more system memory", Sign.CLIENT_MEMORY),
    (r"cudaMalloc failed|CUDA error: out of memory", Sign.CLIENT_VRAM),
    (r"unable to load model|unknown model architecture", Sign.CLIENT_ARCHITECTURE),
    (r"does not support (?:tools|chat|generate|thinking)", Sign.LOG_CAPABILITY),
    (r"412: The model you are attempting to pull|requires a newer version of Ollama", Sign.LOG_NEEDS_NEWER),
    (r"pull model manifest: file does not exist", Sign.LOG_PULL_TYPO),
    (r"max retries exceeded", Sign.LOG_PULL_INTERRUPTED),
    (r"lookup registry\.ollama\.ai", Sign.LOG_PULL_DNS),
    (r"can't start new thread|pthread_create failed", Sign.LOG_THREADS),
)

_TOWARDS = re.compile(
    r"(?:connect ECONNREFUSED|ENOTFOUND|EAI_AGAIN|getaddrinfo \w+|[Cc]annot connect to host|dial tcp(?:: lookup)?"
    r"|Failed to connect to|[Cc]onnection (?:refused|error)[^\n]{0,40}?|Max retries exceeded with url[^\n]{0,60}?host="
    r"|HTTPConnectionPool\(host=|Failed to resolve)\s*[:=(]?\s*['\"]?(?:https?://)?"
    r"(?P<host>[A-Za-z0-9_.-]*[A-Za-z0-9])['\"]?(?:(?::|, ?port[= ]| port )(?P<port>\d{2,5}))?"
)
_NAME = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:]+\])"
_MENTIONED = re.compile(
    rf"(?:(?<![\w.:/@-])(?:https?://(?:[^\s/@]+@)?)?|host=['\"]?)(?P<host>{_NAME})"
    r"(?:['\"]?, ?port=|:)(?P<port>\d{2,5})(?!\d)"
)
_FAILED = re.compile(
    r"refused|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|getaddrinfo|resolv|timed? ?-?out|unreachable|no route"
    r"|cannot connect|fail|error|dial tcp|max retries|not known",
    re.IGNORECASE,
)
_CALLS = re.compile(
    r"using|connect|request|fetch|base.?url|GET |POST |sav|stor|setting|config|database|\bdb\b", re.IGNORECASE
)
_PREFIX_LOST = re.compile(
    r"\b404\b[^\n]*?https?://[^/\s\"']+(?P<path>/api/[a-z]+)|(?P<path2>/api/[a-z]+)[^\n]{0,40}\b404\b"
)


def of_server(text: str, board: Board, name: str) -> None:
    """Lines of an Ollama server's own log."""
    _match(text, _SERVER, board, name)


_OF_PULLS = {
    Sign.LOG_PULL_INTERRUPTED,
    Sign.LOG_PULL_DNS,
    Sign.LOG_PULL_BLOCKED,
    Sign.LOG_PULL_TYPO,
    Sign.LOG_NEEDS_NEWER,
    Sign.LOG_INTERCEPTION,
    Sign.LOG_DIGEST,
    Sign.LOG_EMPTY_KEY,
    Sign.LOG_DISK,
}


def of_puller(text: str, board: Board, name: str) -> None:
    """Lines of a container that only pulls models."""
    _match(text, tuple(row for row in _SERVER if row[1] in _OF_PULLS), board, name)


def read(case: Case, board: Board) -> None:
    """Lines of the consumer's log: where it really goes, and what it was answered."""
    if case.container is None:
        return
    text = case.scene.logs.get(case.container.name, "")
    _match(text, _CLIENT, board, case.container.name)
    if case.setting.url is None:
        return
    _goes_elsewhere(case, case.setting.url.port, text, board)
    if case.setting.url.prefix:
        lost = _PREFIX_LOST.search(text)
        if lost and case.setting.url.prefix not in _line_of(text, lost.start()):
            board.note(Sign.LOG_PREFIX_LOST, f"the log of {case.container.name}: {_line_of(text, lost.start())}")
    if re.search(r"\b403\b", text) and "/api/" in text:
        board.note(Sign.CLIENT_403, f"the log of {case.container.name} holds a 403 of the API")
    _denied(case, board)
    _stale_upstream(case, board)


def _goes_elsewhere(case: Case, port: int, text: str, board: Board) -> None:
    """The last line of the log that speaks of an Ollama: is it one that this consumer is told?

    What stands in a script of its command is no setting; what a flag of it says is.
    """
    mine = [t for t in case.scene.settings if t.consumer == case.setting.consumer and t.url is not None]
    setting = {t.url.host for t in mine if t.url and (t.variable not in ("command", "entrypoint") or t is case.setting)}
    setting |= {c.address for c in case.aim.connected}
    for line in reversed(text.splitlines()):
        spoken = [(m["host"].strip("[]"), int(m["port"])) for m in _MENTIONED.finditer(line)]
        spoken = [(h, p) for h, p in spoken if p in (port, STANDARD_PORT)]
        if not spoken:
            continue
        failed = _FAILED.search(line) is not None
        if not failed and (_CALLS.search(line) is None or re.search(r"[Ll]isten|[Ss]erving", line)):
            continue
        others = [
            (h, p)
            for h, p in spoken
            if h not in setting and (failed or h not in ("localhost", "127.0.0.1", "0.0.0.0", "::1"))  # noqa: S104
        ]
        if others and case.container is not None:
            host, number = others[0]
            board.note(
                Sign.LOG_OTHER_HOST,
                f"the log of {case.container.name} speaks of {host}:{number}: {_shown(line)}",
                other_host=f"{host}:{number}",
            )
        return


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
                Sign.ACCESS_403, f"the log of {target.name} answers 403 to {address}, which is {case.container.name}"
            )


def _stale_upstream(case: Case, board: Board) -> None:
    """A proxy's own words for an upstream address; one of a Docker network that is no Ollama's is an old one."""
    target = case.target
    if target is None or target.service in case.scene.ollama_services:
        return
    for line in case.scene.logs.get(target.name, "").splitlines():
        if not _FAILED.search(line):
            continue
        for match in _MENTIONED.finditer(line):
            try:
                ip = ipaddress.ip_address(match["host"])
            except ValueError:
                continue
            owner = case.scene.owner_of(match["host"])
            inside = any(ip in subnet for _, subnet, _ in case.scene.subnets() if subnet.version == ip.version)
            stale = inside and (owner is None or owner.service not in case.scene.ollama_services)
            board.note(
                Sign.UPSTREAM_STALE if stale and case.scene.ollama_services else Sign.UPSTREAM_DOWN,
                f"the log of {target.name}: {_shown(line)}",
                upstream=f"{match['host']}:{match['port']}",
            )


def last_lines(text: str) -> str:
    """The end of a log, as evidence."""
    return " / ".join(_shown(line) for line in text.splitlines()[-3:] if line.strip())


def failed_towards(text: str, hosts: Collection[str], port: int) -> bool:
    """Whether a log holds a call to one of these names or addresses, and this port, that failed."""
    for line in text.splitlines():
        if not _FAILED.search(line):
            continue
        spoken = [(m["host"].strip("[]"), int(m["port"])) for m in _MENTIONED.finditer(line)]
        spoken += [(m["host"], int(m["port"] or port)) for m in _TOWARDS.finditer(line)]
        if any(host in hosts and number == port for host, number in spoken):
            return True
    return False


def _match(text: str, table: tuple[tuple[str, Sign], ...], board: Board, name: str) -> None:
    for pattern, sign in table:
        found = re.search(pattern, text)
        if found:
            board.note(sign, f"the log of {name}: {_line_of(text, found.start())}")


def _line_of(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return _shown(text[start : end if end >= 0 else len(text)])


def _shown(line: str) -> str:
    """A line as evidence: short, and without what is secret in it."""
    return by_place(" ".join(line.split()))[:180]
