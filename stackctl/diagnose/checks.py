"""The rungs of the ladder, from what was seen: what ``diagnose --json`` calls ``checks``, and how far one comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from stackctl.diagnose import http_reply as http
from stackctl.diagnose.answers import AimAnswers, Answered, ProbeAnswers
from stackctl.diagnose.plan import Aim

Status = Literal["passed", "failed", "skipped", "unknown"]


@dataclass(frozen=True)
class Check:
    """One check. ``ms`` is wall time in milliseconds or None; ``observed`` holds what was seen, JSON-ready."""

    id: str
    consumer: str | None
    target: str
    vantage: str
    status: Status
    ms: float | None = None
    observed: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The object of the contract."""
        return {
            "id": self.id,
            "consumer": self.consumer,
            "target": self.target,
            "vantage": self.vantage,
            "status": self.status,
            "ms": self.ms,
            "observed": self.observed,
        }


@dataclass(frozen=True)
class Reach:
    """Whether a consumer reaches an Ollama through one URL, and which.

    ``failed`` is the first check that failed (or could not be done), or None;
    ``missing`` are models asked for that the server does not have.
    """

    ok: bool
    checks: tuple[Check, ...]
    version: str | None = None
    models: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    address: str = ""

    @property
    def failed(self) -> Check | None:
        """The rung where it ends."""
        bad = [c for c in self.checks if c.status == "failed"]
        return next(iter(bad or [c for c in self.checks if c.status == "unknown"]), None)

    @property
    def reason(self) -> str:
        """One line for people."""
        check = self.failed
        return "" if check is None else explain(check)


def judge(seen: ProbeAnswers, aim: Aim, consumer: str | None, *, models: Sequence[str] = ()) -> Reach:
    """The ladder of one aim as seen from one vantage point."""
    found = seen.aims.get(aim.id)
    target, vantage = str(aim.url), seen.vantage

    def check(rung: str, status: Status, took: float | None = None, /, **observed: Any) -> Check:
        kept = {k: v for k, v in observed.items() if v not in (None, "")}
        return Check(rung, consumer, target, vantage, status, took, kept)

    if found is None or not seen.able:
        return Reach(ok=False, checks=tuple(check(name, "unknown") for name in ("name", "tcp", "http", "api")))
    proxies = {ask.proxy for ask in aim.asks}
    by_proxy = next((p for p in proxies if p), None) if None not in proxies else None
    if by_proxy:
        # Its client never goes there itself, so neither the name nor the port is for it to see.
        rows, via = [], f"{by_proxy[0]}:{by_proxy[1]}"
    else:
        rows, via = [*_name(found, check), *_tcp(found, check)], None
        if aim.url.scheme == "https":
            rows += _tls(found, check)
    version, names, api = _api(found, check, via)
    rows += api
    rows += _client(found, aim, check, via)
    missing: tuple[str, ...] = ()
    if names is not None:
        have = {http.full_name(n) for n in names}
        missing = tuple(m for m in models if http.full_name(m) not in have)
        rows += [check("model", "failed" if m in missing else "passed", model=m) for m in models]
    rows = _skip_after_failure(rows)
    answered = next((a for a in found.answered if a.ask in ("version", "tags")), None)
    return Reach(
        ok=bool(rows) and all(r.status == "passed" for r in rows),
        checks=tuple(rows),
        version=version,
        models=tuple(names or ()),
        missing=missing,
        address=answered.address if answered else "",
    )


def _name(found: AimAnswers, check: Any) -> list[Check]:
    if found.resolved is None:
        return []
    r = found.resolved
    status = "passed" if r.addresses else "failed"
    return [check("name", status, r.ms, error=r.error, addresses=list(r.addresses) or None, host=r.host)]


def _tcp(found: AimAnswers, check: Any) -> list[Check]:
    if not found.connected:
        return [check("tcp", "skipped")]
    good = next((c for c in found.connected if c.ok), None)
    shown = good or found.connected[0]
    return [
        check(
            "tcp", "passed" if good else "failed", shown.ms, errno=shown.error, address=shown.address, port=shown.port
        )
    ]


def _tls(found: AimAnswers, check: Any) -> list[Check]:
    if not found.shaken:
        return [check("tls", "skipped")]
    first = found.shaken[0]
    return [
        check(
            "tls", "passed" if first.ok else "failed", first.ms, error=first.error, verify=first.verify, text=first.text
        )
    ]


def _client(found: AimAnswers, aim: Aim, check: Any, via: str | None) -> list[Check]:
    """Whether what a client asks below the address is there, where the address is more than a base."""
    rows = []
    for ask in aim.asks:
        answer = found.ask(ask.id) if ask.id.startswith("client:") else None
        if answer is None:
            continue
        reply = http.read(answer.raw)
        # An endpoint refuses a model that nobody has in JSON; what is no endpoint says so in other words.
        there = reply.status == 200 or (ask.method == "POST" and reply.status in (400, 404) and bool(reply.error))
        if not there:
            seen = {"status": reply.status or None, "type": reply.type, "error": reply.error[:200], "path": ask.path}
            rows.append(check("api", "failed", answer.ms, **seen, proxy=via))
    return rows


def _api(found: AimAnswers, check: Any, via: str | None) -> tuple[str | None, list[str] | None, list[Check]]:
    root, first, tags = found.ask("root"), found.ask("version"), found.ask("tags")
    if first is None and tags is None:
        return None, None, [check("http", "skipped"), check("api", "skipped")]
    shown = first or tags or root
    assert shown is not None  # noqa: S101  (one of the two is there)
    reply = http.read(shown.raw)
    spoke = reply.status != 0
    rows = [
        check(
            "http",
            "passed" if spoke else "failed",
            shown.ms,
            status=reply.status or None,
            end=shown.end,
            proxy=via,
            server=reply.headers.get("server"),
        )
    ]
    version = _first(found.asks("version"), http.version)
    names = _first(found.asks("tags"), http.model_names)
    if spoke:
        good = version is not None and names is not None
        bad = reply if version is None else http.read(tags.raw) if tags else reply
        rows.append(
            check(
                "api",
                "passed" if good else "failed",
                shown.ms,
                version=version,
                status=None if good else bad.status,
                type=None if good else bad.type,
                error=None if good else bad.error[:200],
                proxy=via,
            )
        )
    else:
        rows.append(check("api", "skipped"))
    return version, names, rows


def _first(answers: list[Answered], read: Any) -> Any:
    return next((value for a in answers if (value := read(http.read(a.raw))) is not None), None)


def _skip_after_failure(rows: list[Check]) -> list[Check]:
    kept: list[Check] = []
    for row in rows:
        kept.append(row)
        if row.status == "failed" and row.id in ("name", "tcp", "tls"):
            later = [r for r in rows[len(kept) :] if r.status != "failed" and r.id != row.id]
            kept += [Check(r.id, r.consumer, r.target, r.vantage, "skipped") for r in later]
            break
    return kept


def explain(check: Check) -> str:
    """One line about a check that did not pass."""
    seen, where = check.observed, f"seen from {check.vantage}"
    text = {
        "name": f"the name {seen.get('host')} does not resolve ({seen.get('error')})",
        "tcp": f"{seen.get('address')}:{seen.get('port')} does not accept ({seen.get('errno')}, {check.ms} ms)",
        "tls": f"the TLS handshake fails ({seen.get('text') or seen.get('error')})",
        "http": f"no HTTP answer ({seen.get('end')})",
        "api": " ".join(
            f"not the Ollama API{' at ' + seen['path'] if seen.get('path') else ''}: "
            f"status {seen.get('status')} {seen.get('type', '')}".split()
        )
        + (f" {seen['error']}" if seen.get("error") else ""),
        "value": f"the value of {seen.get('name')} names no server",
        "model": f"the model {seen.get('model')} is not there",
    }.get(check.id, check.id)
    if seen.get("proxy"):
        text += f", through the proxy {seen['proxy']} that its variables name"
    return f"{text}, {where}" if check.status == "failed" else f"{check.id} could not be seen ({check.vantage})"
