"""From what a probe printed to typed observations. Nothing a hostile server sends gets past here unbounded."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

_GAI = {-2: "EAI_NONAME", -3: "EAI_AGAIN", -4: "EAI_FAIL", -5: "EAI_NODATA", "TIMEOUT": "TIMEOUT"}
_FOLLOWS = re.compile(r"^[A-Z][A-Z0-9_:]{1,40}$")


@dataclass(frozen=True)
class Resolved:
    """A name looked up. ``error`` is empty, an ``EAI_…`` name, or ``TIMEOUT``; ``source`` is ``hosts`` or ``dns``."""

    host: str
    addresses: tuple[str, ...]
    error: str
    ms: float
    text: str = ""


@dataclass(frozen=True)
class Connected:
    """One TCP try. ``error`` is empty, an errno name, or ``TIMEOUT``."""

    address: str
    port: int
    error: str
    ms: float

    @property
    def ok(self) -> bool:
        """Whether the three-way handshake ended well."""
        return not self.error


@dataclass(frozen=True)
class Shaken:
    """One TLS handshake. ``store`` names the trust store: ``default``, ``given``, ``system``, ``certifi`` or ``any``.

    ``verify`` is OpenSSL's X509 code where verification said no; ``chain`` holds DER certificates, leaf first.
    """

    store: str
    address: str
    ok: bool
    error: str = ""
    verify: int | None = None
    text: str = ""
    chain: tuple[bytes, ...] = ()
    chain_known: bool = True
    ms: float = 0.0


@dataclass(frozen=True)
class Answered:
    """One exchange as raw bytes. ``end`` is ``complete``, ``eof``, ``limit`` or an errno name; times in ms."""

    ask: str
    address: str
    raw: bytes = field(repr=False)
    end: str
    ms: float
    ttfb: float | None = None
    marks: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class AimAnswers:
    """Everything seen on the way to one URL."""

    resolved: Resolved | None = None
    connected: tuple[Connected, ...] = ()
    shaken: tuple[Shaken, ...] = ()
    answered: tuple[Answered, ...] = ()

    def ask(self, name: str) -> Answered | None:
        """The first answer to an ask, or None."""
        return next((a for a in self.answered if a.ask == name), None)

    def asks(self, name: str) -> list[Answered]:
        """The answers of every address."""
        return [a for a in self.answered if a.ask == name]


@dataclass(frozen=True)
class ProbeAnswers:
    """What one probe brought back. ``vantage`` is ``exec:python3``, ``exec:node``, ``exec:sh`` or ``probe``.

    ``complete`` is false where the probe ran out of time; ``able`` is false
    where the vantage point has no tool to try anything with.
    """

    vantage: str
    aims: dict[str, AimAnswers] = field(default_factory=dict)
    names: dict[str, Resolved] = field(default_factory=dict)
    connects: tuple[Connected, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    space: dict[str, tuple[int, int]] = field(default_factory=dict)
    tool: str = ""
    now: float | None = None
    limits: tuple[str, ...] = ()
    complete: bool = False
    able: bool = True
    tls_able: bool = True


def parse(stdout: bytes, *, vantage: str = "exec") -> ProbeAnswers:
    """Read the lines of any of the three probes; lines that are none are passed over."""
    rows = list(_rows(stdout))
    aims: dict[str, dict[str, Any]] = {}
    names: dict[str, Resolved] = {}
    connects: list[Connected] = []
    files: dict[str, str] = {}
    space: dict[str, tuple[int, int]] = {}
    tool, now, complete, able, tls_able, limits = "", None, False, True, True, []
    shell = False
    for row in rows:
        kind = row.get("k")
        slot = aims.setdefault(str(row["aim"]), {"c": [], "s": [], "a": []}) if row.get("aim") else None
        if kind in ("facts", "files"):
            files.update({str(k): str(v) for k, v in (row.get("files") or {}).items()})
            space.update({str(k): (int(v[0]), int(v[1])) for k, v in (row.get("space") or {}).items()})
            tool, now = str(row.get("tool") or tool), row.get("now", now)
        elif kind == "tool":
            shell, tool, able = True, f"sh ({row['raw']}, {row['names']})", row["raw"] != "none"
            tls_able, now = row["tls"] != "none", row.get("now")
            able = able and row["names"] != "none"
        elif kind == "resolve" and slot is not None:
            slot["r"] = _resolved(row)
        elif kind == "name":
            names[str(row["host"])] = _resolved(row)
        elif kind == "connect":
            (slot["c"] if slot is not None else connects).append(_connected(row))
        elif kind in _OF_AN_AIM and slot is not None:
            where, made = _OF_AN_AIM[kind]
            slot[where].append(made(row))
        elif kind == "limit":
            limits.append(str(row.get("text")))
        elif kind == "end":
            complete = bool(row.get("complete"))
    return ProbeAnswers(
        vantage=_vantage(vantage, "sh" if shell else tool.split(" ", 1)[0]),
        aims={
            name: AimAnswers(slot.get("r"), tuple(slot["c"]), tuple(slot["s"]), tuple(slot["a"]))
            for name, slot in aims.items()
        },
        names=names,
        connects=tuple(connects),
        files=files,
        space=space,
        tool=tool,
        now=float(now) if isinstance(now, int | float) else None,
        limits=tuple(limits),
        complete=complete,
        able=able,
        tls_able=tls_able,
    )


def _rows(stdout: bytes) -> Iterator[dict[str, Any]]:
    for line in stdout.split(b"\n"):
        if line.startswith(b"{"):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row
        elif b"\t" in line:
            cells = line.decode("utf-8", "replace").split("\t")
            row = _shell_row(cells)
            if row:
                yield row


def _shell_row(cells: list[str]) -> dict[str, Any] | None:
    kind, rest = cells[0], [*cells[1:], *[""] * 6]
    try:
        if kind == "tool":
            return {"k": "tool", "raw": rest[0], "names": rest[1], "tls": rest[2], "now": _number(rest[3])}
        if kind == "file":
            return _file(rest[0], rest[1])
        if kind == "space":
            free, total = ([*rest[1].split(), "0", "0"])[:2]
            return {"k": "files", "space": {rest[0]: [int(float(free)), int(float(total))]}}
        if kind in ("resolve", "name"):
            aim, host, code, ms, found, text = rest[:6] if kind == "resolve" else ("", *rest[:5])
            return {
                "k": kind,
                "aim": aim,
                "host": host,
                "code": int(code) if code.lstrip("-").isdigit() else code,
                "ms": float(ms or 0),
                "addresses": found.split(),
                "text": text,
            }
        if kind == "connect":
            return {
                "k": kind,
                "aim": rest[0],
                "address": rest[1],
                "port": int(rest[2]),
                "errno": rest[3],
                "ms": float(rest[4] or 0),
            }
        if kind == "tls":
            return {"k": kind, "aim": rest[0], **_openssl(_unpack(rest[3])), "address": rest[1], "ms": float(rest[2])}
        if kind == "ask":
            raw = _unpack(rest[4])
            return {
                "k": kind,
                "aim": rest[0],
                "ask": rest[1],
                "address": rest[2],
                "ms": float(rest[3] or 0),
                "bytes": raw,
                "end": "eof" if raw else "EMPTY",
            }
        if kind == "end":
            return {"k": "end", "complete": rest[0] == "1"}
    except (ValueError, IndexError):
        return None
    return None


def _number(text: str) -> float | None:
    return float(text) if text.isdigit() else None


def _file(path: str, packed: str) -> dict[str, Any]:
    return {"k": "files", "files": {path: _unpack(packed).decode("utf-8", "replace")}}


def _unpack(packed: str) -> bytes:
    try:
        if packed.startswith("hex:"):
            return bytes.fromhex(packed[4:])
        return base64.b64decode(packed, validate=False)
    except (ValueError, binascii.Error):
        return b""


def _openssl(output: bytes) -> dict[str, Any]:
    """What ``openssl s_client -showcerts`` printed."""
    text = output.decode("utf-8", "replace")
    chain = re.findall(r"-----BEGIN CERTIFICATE-----\s*([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----", text)
    code = re.search(r"Verify return code: (\d+) \(([^)]*)\)", text)
    if not chain:  # without a certificate the return code is 0 and means nothing
        wrong = re.search(r"wrong version number|packet length too long", text, re.IGNORECASE)
        failure = "WRONG_VERSION_NUMBER" if wrong else "TLS"
        return {"ok": False, "error": failure, "text": failure if wrong else text[:200], "store": "default"}
    number = int(code[1]) if code else None
    return {
        "ok": number == 0,
        "error": "" if number == 0 else "VERIFY",
        "verify": number or None,
        "text": code[2] if code else "",
        "store": "default",
        "chain": ["".join(c.split()) for c in chain[:6]],
    }


def _resolved(row: dict[str, Any]) -> Resolved:
    addresses = tuple(str(a) for a in (row.get("addresses") or [])[:16])
    code = row.get("code")
    error = "" if addresses else _GAI.get(code, f"EAI_{code}")
    return Resolved(str(row.get("host") or ""), addresses, error, float(row.get("ms") or 0), str(row.get("text") or ""))


def _connected(row: dict[str, Any]) -> Connected:
    error = str(row.get("errno") or "")
    return Connected(
        str(row.get("address") or ""),
        int(row.get("port") or 0),
        "TIMEOUT" if error == "ETIMEDOUT" else error if not error or _FOLLOWS.match(error) else "UNKNOWN",
        float(row.get("ms") or 0),
    )


def _shaken(row: dict[str, Any]) -> Shaken:
    return Shaken(
        store=str(row.get("store") or "default"),
        address=str(row.get("address") or ""),
        ok=bool(row.get("ok")),
        error=str(row.get("error") or ""),
        verify=row.get("verify"),
        text=str(row.get("text") or "")[:300],
        chain=tuple(_unpack(c) for c in (row.get("chain") or [])[:6]),
        chain_known=row.get("chain_known", True),
        ms=float(row.get("ms") or 0),
    )


def _answered(row: dict[str, Any]) -> Answered:
    raw = row["bytes"] if "bytes" in row else _unpack(str(row.get("raw") or ""))
    end = str(row.get("end") or "eof")
    return Answered(
        str(row.get("ask") or ""),
        str(row.get("address") or ""),
        raw,
        end,
        float(row.get("ms") or 0),
        float(row["ttfb"]) if isinstance(row.get("ttfb"), int | float) else None,
        tuple((float(t), int(n)) for t, n in (row.get("marks") or [])[:64]),
    )


def _vantage(given: str, program: str) -> str:
    """Where the questions were asked from; inside a consumer, with the program that asked them."""
    return f"exec:{program}" if given == "exec" and program else given


_OF_AN_AIM: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "tls": ("s", _shaken),
    "ask": ("a", _answered),
}
"""Rows that add one more to what was seen of an aim."""
