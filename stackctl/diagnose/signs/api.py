"""Signs of the API: who answers, which version, which models, what they can do, how loading and generating goes."""

from __future__ import annotations

import difflib
import json
import re

from stackctl.config.url import HOST_ALIAS
from stackctl.diagnose import reply as http
from stackctl.diagnose.signs.board import Board, Case


def read(case: Case, board: Board) -> None:
    """The version and the models of the server that answered."""
    replies = [http.read(a.raw) for a in case.aim.asks("version")]
    version = next((v for r in replies if (v := http.version(r)) is not None), None)
    tags = [http.read(a.raw) for a in case.aim.asks("tags")]
    names = next((n for r in tags if (n := http.model_names(r)) is not None), None)
    if version is not None:
        board.note("api.version", version=version)
        parts = [int(p) for p in re.findall(r"\d+", version)[:3]]
        if parts and parts < [0, 3, 0] and parts != [0, 0, 0]:
            board.note("api.old", f"the server is Ollama {version}")
    if names is None:
        return
    if version is not None:
        board.note("api.ok", f"Ollama {version} answers with {len(names)} models, {case.where}")
    board.lists["models"] = names
    _differ(case, board, replies)
    if not names:
        board.note("models.none", "the server has no models")
    _wanted(case, board, names)
    _shown(case, board)
    _generated(case, board)


def _differ(case: Case, board: Board, replies: list[http.Reply]) -> None:
    """Two addresses, two different servers?"""
    addresses = case.aim.asks("tags")
    sets = {tuple(sorted(http.model_names(http.read(a.raw)) or [])) for a in addresses}
    versions = {http.version(r) for r in replies}
    if len(addresses) > 1 and (len(sets) > 1 or len(versions) > 1):
        board.note("api.differs", "the addresses answer with different models or versions")


def _wanted(case: Case, board: Board, names: list[str]) -> None:
    have = {http.full_name(n): n for n in names}
    for model in case.told.models:
        if http.full_name(model) in have:
            continue
        board.note("model.missing", f"{model} is not among the {len(names)} models at {case.told.url}", model=model)
        bare = re.sub(r"^(?:ollama|ollama_chat|local)[/:]", "", model)
        near = [n for n in names if http.full_name(bare) == http.full_name(n)]
        near = near or [n for n in names if n.split(":")[0].lower() == bare.split(":")[0].split("/")[-1].lower()]
        near = near or difflib.get_close_matches(bare, names, n=1, cutoff=0.75)
        if near:
            board.note("model.near", f"{near[0]} is there", near=near[0])
        _elsewhere(case, board, model)
        return


def _elsewhere(case: Case, board: Board, model: str) -> None:
    """The same model on another Ollama of this machine: in a container, else of the host."""
    having = [w for w, m in case.scene.host.models.items() if http.full_name(model) in {http.full_name(n) for n in m}]
    owners = {where: case.scene.owner_of(where.rpartition(":")[0].strip("[]")) for where in having}
    where = next(iter(sorted(having, key=lambda w: owners[w] is None)), "")
    owner, port = owners.get(where), where.rpartition(":")[2]
    if owner is not None:
        board.note("model.in_container", other=owner.name, other_url=f"http://{owner.name}:{port}")
        board.note("model.elsewhere", f"{model} is on the Ollama in the container {owner.name}")
    elif where:
        line = f"{model} is on the Ollama at {where} of this machine"
        board.note("model.elsewhere", line, other=where, other_url=f"http://{HOST_ALIAS}:{port}")


def _shown(case: Case, board: Board) -> None:
    for answer in case.aim.answered:
        if not answer.ask.startswith("show:"):
            continue
        reply, model = http.read(answer.raw), answer.ask.partition(":")[2]
        document = reply.json
        capabilities = document.get("capabilities") if isinstance(document, dict) else None
        if (
            isinstance(capabilities, list)
            and capabilities
            and "completion" not in capabilities
            and model == case.told.models[:1][0]
        ):
            embeds = any("EMBED" in k.upper() and v == model for k, v in case.environment.items())
            if not embeds:
                board.note(
                    "model.cannot", f"{model} can {', '.join(map(str, capabilities))}, not completion", model=model
                )
        if reply.status == 401 and "signin_url" in reply.text:
            board.note("401.cloud", f"POST /api/show for {model} answers 401 with a signin_url", model=model)


_TROUBLE = (
    (r"requires more system memory", "text.memory"),
    (r"out of memory|cudaMalloc failed|OOM during", "text.vram"),
    (r"unknown model architecture|unable to load model|may be incompatible with your version", "text.architecture"),
    (r"does not support (?:chat|generate|tools|thinking|embed)", "text.capability"),
    (r"server busy", "503.busy"),
    (r"unauthorized", "401.cloud"),
    (r"no space left on device", "text.disk"),
    (r"illegal instruction", "text.illegal"),
    (r"signal: killed", "text.killed"),
    (r"exceeds (?:the |maximum )?(?:available )?context", "text.context"),
)


def _generated(case: Case, board: Board) -> None:
    """``--deep``: one streamed token, and what is loaded where."""
    answer = case.aim.ask("generate")
    if answer is None:
        return
    reply = http.read(answer.raw)
    lines = [x for x in (_line(x) for x in reply.body.split(b"\n")) if x is not None]
    last = lines[-1] if lines else {}
    error = reply.error or str(last.get("error") or "")
    if error:
        for pattern, sign in _TROUBLE:
            if re.search(pattern, error):
                board.note(sign, f"POST /api/generate: {reply.status} {error[:160]}")
        board.note("generate.error", f"POST /api/generate: {reply.status} {error[:160]}", error=error[:160])
        if reply.status == 200:
            board.note("generate.error_in_stream", f"status 200, and the last line is an error: {error[:120]}")
    elif reply.status in (504, 524):
        board.note(f"generate.{reply.status}", f"POST /api/generate: {reply.status} after {answer.ms / 1000:.0f} s")
    elif answer.end == "TIMEOUT":
        board.note("generate.slow", f"no end of one short answer within {answer.ms / 1000:.0f} s")
    elif reply.status == 200 and last.get("done") is True:
        _speed(board, answer.ttfb, answer.ms, len(answer.marks), len(lines), last)
    _placed(case, board)


def _speed(board: Board, ttfb: float | None, ms: float, pieces: int, lines: int, last: dict[str, object]) -> None:
    count, took, load = (float(last.get(k) or 0) for k in ("eval_count", "eval_duration", "load_duration"))  # type: ignore[arg-type]  # numbers by the API
    rate = count / took * 1e9 if took else 0.0
    board.note("generate.ok", f"first token after {(ttfb or ms) / 1000:.2f} s, {rate:.1f} tokens/s", rate=f"{rate:.1f}")
    if load > 10e9:
        board.note("generate.cold", f"loading took {load / 1e9:.0f} s")
    total = float(last.get("total_duration") or 0) / 1e6  # type: ignore[arg-type]  # a number by the API
    if lines > 3 and pieces <= 2 and ttfb and ttfb > 0.8 * ms and total > 300:
        board.note(
            "generate.buffered", f"{lines} lines came in {pieces} piece(s), the first after {ttfb:.0f} of {ms:.0f} ms"
        )


def _placed(case: Case, board: Board) -> None:
    answer = case.aim.ask("ps")
    document = http.read(answer.raw).json if answer else None
    for row in (document.get("models") or []) if isinstance(document, dict) else []:
        if not isinstance(row, dict):
            continue
        size, vram = int(row.get("size") or 0), int(row.get("size_vram") or 0)
        if size and not vram:
            board.note("ps.cpu", f"/api/ps: {row.get('name')} runs on the CPU alone (size_vram 0)")
        elif 0 < vram < size:
            board.note("ps.partly", f"/api/ps: {row.get('name')} has {vram * 100 // size}% of it on the GPU")


def _line(text: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
