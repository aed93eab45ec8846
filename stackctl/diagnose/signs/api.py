"""Signs of the API: who answers, which version, which models, what they can do, how loading and generating goes."""

from __future__ import annotations

import difflib
import json
import re

from stackctl.config.url import HOST_ALIAS
from stackctl.diagnose import http_reply as http
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import Board, Case
from stackctl.ports import Container


def read(case: Case, board: Board) -> None:
    """The version and the models of the server that answered."""
    replies = [http.read(a.raw) for a in case.aim.asks("version")]
    version = next((v for r in replies if (v := http.version(r)) is not None), None)
    tags = [http.read(a.raw) for a in case.aim.asks("tags")]
    names = next((n for r in tags if (n := http.model_names(r)) is not None), None)
    if version is not None:
        board.note(Sign.API_VERSION, version=version)
    if names is None:
        return
    if version is not None:
        board.note(Sign.API_OK, f"Ollama {version} answers with {len(names)} models, {case.where}")
    _differ(case, board, replies)
    if not names:
        board.note(Sign.MODELS_NONE, "the server has no models")
    _wanted(case, board, names)
    _shown(case, board)
    _generated(case, board)


def _differ(case: Case, board: Board, replies: list[http.HttpReply]) -> None:
    """Two addresses, two different servers?"""
    addresses = case.aim.asks("tags")
    sets = {tuple(sorted(http.model_names(http.read(a.raw)) or [])) for a in addresses}
    versions = {http.version(r) for r in replies}
    if len(addresses) > 1 and (len(sets) > 1 or len(versions) > 1):
        board.note(Sign.API_DIFFERS, "the addresses answer with different models or versions")


def _wanted(case: Case, board: Board, names: list[str]) -> None:
    have = {http.full_name(n): n for n in names}
    for model in case.setting.models:
        if http.full_name(model) in have:
            continue
        board.note(
            Sign.MODEL_MISSING, f"{model} is not among the {len(names)} models at {case.setting.url}", model=model
        )
        bare = re.sub(r"^(?:ollama|ollama_chat|local)[/:]", "", model)
        near = [n for n in names if http.full_name(bare) == http.full_name(n)]
        near = near or [n for n in names if n.split(":")[0].lower() == bare.split(":")[0].split("/")[-1].lower()]
        near = near or difflib.get_close_matches(bare, names, n=1, cutoff=0.75)
        if near:
            board.note(Sign.MODEL_NEAR, f"{near[0]} is there", near=near[0])
        _elsewhere(case, board, model)
        return


def _elsewhere(case: Case, board: Board, model: str) -> None:
    """The same model on another Ollama of this machine: in a container, else of the host."""
    having = [w for w, m in case.scene.host.models.items() if http.full_name(model) in {http.full_name(n) for n in m}]
    owners = {where: case.scene.owner_of(where.rpartition(":")[0].strip("[]")) for where in having}
    having = [where for where in having if _is_tied(case, owners[where])]
    where = next(iter(sorted(having, key=lambda w: owners[w] is None)), "")
    owner, port = owners.get(where), where.rpartition(":")[2]
    if owner is not None:
        line, url = f"{model} is on the Ollama in the container {owner.name}", f"http://{owner.name}:{port}"
        board.note(Sign.MODEL_IN_CONTAINER)
        board.note(Sign.MODEL_ELSEWHERE, line, other=owner.name, other_url=url)
    elif where:
        line = f"{model} is on the Ollama at {where} of this machine"
        board.note(Sign.MODEL_ELSEWHERE, line, other=where, other_url=f"http://{HOST_ALIAS}:{port}")


def _is_tied(case: Case, owner: Container | None) -> bool:
    """Whether a server is of the host, of this project or on a network of the consumer.

    What another Compose project runs for itself tells nothing.
    """
    if owner is None or not owner.labels.get("com.docker.compose.project"):
        return True
    return owner.id in {c.id for c in case.scene.containers} or bool(case.attached & set(owner.networks))


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
            and model == case.setting.models[:1][0]
        ):
            embeds = any("EMBED" in k.upper() and v == model for k, v in case.environment.items())
            if not embeds:
                board.note(
                    Sign.MODEL_CANNOT, f"{model} can {', '.join(map(str, capabilities))}, not completion", model=model
                )
        if reply.status == 401 and "signin_url" in reply.text:
            board.words.setdefault("model", model)
            board.note(Sign.HTTP_401_CLOUD, f"POST /api/show for {model} answers 401 with a signin_url")


_TROUBLE = (
    (r"requires more system memory", Sign.TEXT_MEMORY),
    (r"out of memory|cudaMalloc failed|OOM during", Sign.TEXT_VRAM),
    (r"unknown model architecture|unable to load model|may be incompatible with your version", Sign.TEXT_ARCHITECTURE),
    (r"does not support (?:chat|generate|tools|thinking|embed)", Sign.TEXT_CAPABILITY),
    (r"server busy", Sign.HTTP_503_BUSY),
    (r"unauthorized", Sign.HTTP_401_CLOUD),
    (r"illegal instruction", Sign.TEXT_ILLEGAL),
    (r"signal: killed", Sign.TEXT_KILLED),
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
        board.note(Sign.GENERATE_ERROR, f"POST /api/generate: {reply.status} {error[:160]}")
        if reply.status == 200:
            board.note(Sign.GENERATE_ERROR_IN_STREAM, f"status 200, and the last line is an error: {error[:120]}")
    elif reply.status in (504, 524):
        board.note(
            Sign.GENERATE_504 if reply.status == 504 else Sign.GENERATE_524,
            f"POST /api/generate: {reply.status} after {answer.ms / 1000:.0f} s",
        )
    elif reply.status == 200 and last.get("done") is True:
        _speed(board, answer.ttfb, answer.ms, len(answer.marks), len(lines), last)


def _speed(board: Board, ttfb: float | None, ms: float, pieces: int, lines: int, last: dict[str, object]) -> None:
    count, took, load = (float(last.get(k) or 0) for k in ("eval_count", "eval_duration", "load_duration"))  # type: ignore[arg-type]  # numbers by the API
    rate = count / took * 1e9 if took else 0.0
    board.note(Sign.GENERATE_OK, f"first token after {(ttfb or ms) / 1000:.2f} s, {rate:.1f} tokens/s")
    if load > 10e9:
        board.note(Sign.GENERATE_COLD, f"loading took {load / 1e9:.0f} s")
    total = float(last.get("total_duration") or 0) / 1e6  # type: ignore[arg-type]  # a number by the API
    if lines > 3 and pieces <= 2 and ttfb and ttfb > 0.8 * ms and total > 300:
        board.note(
            Sign.GENERATE_BUFFERED,
            f"{lines} lines came in {pieces} piece(s), the first after {ttfb:.0f} of {ms:.0f} ms",
        )


def _line(text: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
