"""The one redactor: takes secrets out of whatever is shown to people or leaves the machine.

A secret is known by its value (what a reference resolved to, in each spelling that it may have), by its place (a URL's
credentials, the value of a variable, an option or a header whose name says secret), or by its shape (a token of a known
kind). The console redacts everything that it writes by these; what leaves the machine is redacted thoroughly.
"""

from __future__ import annotations

import base64
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus

REDACTED = "********"
SHAPED = (
    r"\b(?:sk|pk|ghp|gho|hf|xox[abp]|glpat|nvapi)[-_][A-Za-z0-9_-]{8,}"
    r"|(?<![A-Za-z0-9/_.:-])(?=[A-Za-z+/_-]*[0-9])(?=[0-9+/_-]*[A-Za-z])[A-Za-z0-9+/_-]{28,}={0,2}(?![A-Za-z0-9/_.:-])"
)
"""What has the shape of a secret, in a value of which nothing else is known."""

SHORTEST = 4
"""Characters below which a value is not looked for: it would be found in the midst of words."""
_NAME = re.compile(
    r"PASS(?:W|PHRASE|CODE)|(?:^|_)(?:PG)?PASS(?:_|$)|_PWD$|^PWD_|SECRET|TOKEN(?!S|IZ)|(?:^|_|API|ACCESS|SECRET|PRIVATE)KEY$|CREDENTIAL|AUTHORIZATION"
    r"|(?:^|_)(?:AUTH|BEARER|DSN|SALT|SIGNATURE|SIG|JWT)$|COOKIE|WEBHOOK|CONNECTION_STRING|BASICAUTH"
)
_NOT_THE_SECRET = re.compile(
    r"_(?:FILE|PATH|DIR|NAME|HEADER|TTL|TIMEOUT|EXPIR\w*|LIFETIME|LIMIT|COUNT|SIZE|LENGTH|ALGORITHM|TYPE|MODE|ENABLED|"
    r"REQUIRED|PUBLIC_KEY|MIN|MAX)$|(?:^|_)(?:MAX|MIN|NUM)_TOKEN"
)
_SAYS_NOTHING = frozenset(
    ["", "true", "false", "yes", "no", "on", "off", "none", "null", "enabled", "disabled", "required", "optional"]
)
_REFERENCE = re.compile(r"\$?\$\{[^}]*\}?|\$?\$[A-Za-z_]\w*|\{[\w.]+\}|<[\w -]+>|\*{3,}|…")
"""What stands for a secret and is none: ``${NAME}``, ``{token}``, what is redacted already."""


def is_secret_name(name: str) -> bool:
    """Whether a variable, key, label, header or option of this name holds a secret."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    upper = re.sub(r"[^A-Za-z0-9]+", "_", parts).strip("_").upper()
    return bool(_NAME.search(upper)) and not _NOT_THE_SECRET.search(upper)


def _is_value(text: str) -> bool:
    """Whether a text, found where a secret belongs, can be one."""
    return text.lower() not in _SAYS_NOTHING and bool(_REFERENCE.sub("", text).strip("\"' "))


# -- by place and shape -------------------------------------------------------

_STOP = r"\s\"'<>\\`"
_WORD = r"[A-Za-z_][A-Za-z0-9_.-]{0,80}"


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Compiled with the first text: `--version` and completion do without."""
    compiled = {
        # Up to the last @ of the authority; then what has a slash in its password, or slashes missing before it.
        "authority": rf"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://)(?P<who>(?:(?!://)[^{_STOP}/?#])*)@",
        "malformed": rf"(?P<head>\b(?:https?|wss?|redis|postgres\w*|mysql|mongodb|amqps?):/{{0,3}})"
        rf"(?P<who>(?:(?!://)[^{_STOP}@:])*:(?!//)(?:(?!://)[^{_STOP}@])+)@",
        "bare": rf"(?<![^{_STOP}=(,\[])(?P<who>[^{_STOP}:/@=,;(\[{{}}]+:[^{_STOP}/@,;]+)@"
        r"(?!sha256:)(?=[A-Za-z0-9.-]+:\d)",
        "webhook": r"(?P<head>https?://(?:hooks\.slack\.com/(?:services|workflows)"
        r"|(?:\w+\.)?discord(?:app)?\.com/api/webhooks"
        rf"|[\w.-]*webhook\.office\.com|outlook\.office\.com/webhook\w*|hooks\.zapier\.com/hooks|hc-ping\.com"
        rf"|api\.telegram\.org|maker\.ifttt\.com|[\w.-]+\.webhook\.site|webhook\.site)/)[^{_STOP}]+",
        "header": r"(?i)(?P<head>\b(?:proxy-)?authorization[\"']?[ \t]*[:=][ \t]*[\"']?"
        r"(?:(?:bearer|basic|token|digest)[ \t]+)?)"
        rf"(?P<value>[^{_STOP},;]{{4,}})",
        # Not the words of "basic authentication": a digit, a capital within, Base64's padding, or a length tell.
        "bearer": r"(?P<head>\b(?i:bearer|basic)[ \t]+)(?P<value>(?=[A-Za-z._~+/=-]*\d|[\w.-]*[a-z][A-Z]|[\w.-]{6,}=)"
        r"[A-Za-z0-9._~+/=-]{6,}|[A-Za-z0-9._~+/=-]{20,})",
        "assignment": rf"(?<![A-Za-z0-9_])(?P<name>-{{0,2}}{_WORD})=[\"']?",
        "assigned": rf"[^{_STOP}&,;)]+",
        "option": rf"(?P<head>(?<![^{_STOP}=,\[])--?(?P<name>[A-Za-z][A-Za-z0-9-]*)(?:[ \t]|[\"']?,)[ \t]*[\"']?)"
        rf"(?P<value>(?!-)[^{_STOP},;\])]+)",
        "pair": rf"(?P<head>[\"']?(?<![A-Za-z0-9_.-])(?P<name>{_WORD})[\"']?[ \t]*:[ \t]+[\"']?)"
        rf"(?P<value>(?!(?i:bearer|basic|digest)\b)[^{_STOP},;}}\]]{{3,}})",
        "json": rf"(?P<head>\"(?P<name>{_WORD})\\?\"[ \t]*:[ \t]*\\?\")(?P<value>[^{_STOP}]{{3,}})",
    }
    return {name: re.compile(text) for name, text in compiled.items()}


_KNOWN = (
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"
    r"|\b(?:sk|pk|rk|ghp|gho|ghs|ghu|hf|xox[abeprs]|glpat|nvapi|gsk|npm|pypi|dop_v1|tvly|lsv2_\w\w)"
    r"[-_](?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{8,}"
    r"|\bgithub_pat_\w{20,}|\bAKIA[0-9A-Z]{16}\b|\bAIza[A-Za-z0-9_-]{30,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\$\$?(?:2[abxy]|apr1|[156]|y|argon2\w+|scrypt)\$\$?[A-Za-z0-9./$=,+-]{8,}|\{S?SHA\d*\}[A-Za-z0-9+/=]{16,}"
)


@cache
def _known() -> re.Pattern[str]:
    return re.compile(_KNOWN)


def without_credentials(text: str) -> str:
    """``text`` with the user and the password of each URL in it redacted, well-formed or not."""
    found = _patterns()
    for name in ("authority", "malformed"):
        text = found[name].sub(_hide_user, text)
    return found["bare"].sub(f"{REDACTED}@", text)


def _hide_user(match: re.Match[str]) -> str:
    return f"{match['head']}{REDACTED}@" if _is_value(match["who"].replace(":", "")) else match[0]


def _hide_value(match: re.Match[str]) -> str:
    return match["head"] + REDACTED if _is_value(match["value"]) else match[0]


def _hide_named(match: re.Match[str]) -> str:
    return _hide_value(match) if is_secret_name(match["name"]) else match[0]


def by_place(text: str) -> str:
    """``text`` without credentials of URLs, values assigned to secret names, and tokens of known kinds."""
    found = _patterns()
    text = _known().sub(REDACTED, without_credentials(text))
    text = found["webhook"].sub(rf"\g<head>{REDACTED}", text)
    for name in ("header", "bearer"):
        text = found[name].sub(_hide_value, text)
    return found["option"].sub(_hide_named, _by_assignment(text))


def _by_assignment(text: str) -> str:
    """``text`` without what is assigned to secret names, in ``Environment="A_TOKEN=…"`` too."""
    kept, at = [], 0
    for name in _patterns()["assignment"].finditer(text):
        if name.start() < at or not is_secret_name(name["name"]):
            continue
        value = _patterns()["assigned"].match(text, name.end())
        if value and _is_value(value[0]):
            kept += [text[at : name.end()], REDACTED]
            at = value.end()
    return "".join([*kept, text[at:]])


_RUN = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")
_PLAIN_IDENTIFIER = re.compile(r"[0-9a-f]{12,}|(?:sha256-)?[0-9a-f]{64}|[0-9a-f-]{36}|[A-Za-z]+(?:[-_/][A-Za-z0-9]+)*")


def by_entropy(text: str) -> str:
    """``text`` without long runs of characters as random as a key; hexadecimal IDs, names and paths stay."""
    return _RUN.sub(lambda m: REDACTED if _looks_random(m[0]) else m[0], text)


def _looks_random(run: str) -> bool:
    if _PLAIN_IDENTIFIER.fullmatch(run) or not (re.search(r"\d", run) and re.search(r"[A-Z]", run)):
        return False
    if run.count("/") > 2 or not re.search(r"[a-z]", run):
        return False
    counts = Counter(run)
    return -sum(n / len(run) * math.log2(n / len(run)) for n in counts.values()) > 3.7


# -- by value -----------------------------------------------------------------


def spellings(value: str) -> Iterator[str]:
    """``value`` as a shell, a URL, YAML, JSON (Go's and Python's, twice for JSON within JSON) and Compose write it."""
    for one in dict.fromkeys((value, value.replace("$", "$$"))):
        yield one
        yield one.replace("'", "''")
        yield one.replace("'", "'\\''")
        yield shlex.quote(one).strip("'")
        yield repr(one)[1:-1]
        for ascii_only in (True, False):
            written = json.dumps(one, ensure_ascii=ascii_only)[1:-1]
            go = written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
            yield from (written, go, json.dumps(written)[1:-1], json.dumps(go)[1:-1], written.replace("/", "\\/"))
        for quoted in (quote(one), quote(one, safe=""), quote_plus(one)):
            yield quoted
            yield re.sub(r"%[0-9A-F]{2}", lambda m: m[0].lower(), quoted)
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= 16)


def base64_cores(value: str) -> Iterator[str]:
    """The characters that stand in any Base64 of a text with ``value`` in it, for its three alignments."""
    data = value.encode("utf-8", "surrogateescape")
    for offset in range(3):
        bits = (offset + len(data)) * 8
        whole = base64.b64encode(b"\0" * offset + data).decode()[(0, 2, 3)[offset] : bits // 6]
        if len(whole) >= 6:
            yield whole
            yield whole.translate({ord("+"): "-", ord("/"): "_"})


def _without_runs(text: str, cores: re.Pattern[str]) -> str:
    """``text`` without the whole run of Base64 around each core: its first and last characters are of the value too."""
    kept, at = [], 0
    for match in cores.finditer(text):
        if match.start() < at:
            continue
        start, end = match.span()
        while start > at and text[start - 1] in _BASE64:
            start -= 1
        while end < len(text) and text[end] in _BASE64:
            end += 1
        kept += [text[at:start], REDACTED]
        at = end
    return "".join([*kept, text[at:]])


class Redactor:
    """Redacts texts and documents; :meth:`hide` adds values as they become known."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._cores: re.Pattern[str] | None = None
        self.shows = False
        """Whether the user has asked to see secrets, and said yes."""
        self.hide(values)

    def hide(self, values: Iterable[str]) -> None:
        """From now on, redact these values in all their spellings."""
        fresh = {v for v in values if len(v) >= SHORTEST and not _REFERENCE.fullmatch(v)} - self._values
        if fresh:
            self._values |= fresh
            self._pattern = None

    def hide_named(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Hide what belongs to secret names, and the credentials of URLs; plain words are not looked for elsewhere."""
        for name, value in pairs:
            if is_secret_name(name) and _worth_hiding(value):
                self.hide([value])
            self.hide(v for v in credentials_in(value) if _worth_hiding(v))

    def values(self, text: str) -> str:
        """``text`` without the hidden values."""
        if not self._values:
            return text
        if self._pattern is None:
            exact = {s for v in self._values for s in spellings(v) if len(s) >= SHORTEST}
            self._pattern = re.compile("|".join(re.escape(s) for s in sorted(exact, key=len, reverse=True)))
            cores = {c for v in self._values for c in base64_cores(v)}
            self._cores = re.compile("|".join(map(re.escape, cores))) if cores else None
        text = self._pattern.sub(REDACTED, text)
        return _without_runs(text, self._cores) if self._cores else text

    def text(self, text: str) -> str:
        """For what is shown here: without hidden values, credentials, and tokens of known kinds."""
        return text if self.shows else by_place(self.values(text))

    def thorough(self, text: str) -> str:
        """For what leaves the machine: also without what stands behind a secret name, and what looks random."""
        text = by_place(self.values(text))
        for name in ("pair", "json"):
            text = _patterns()[name].sub(_hide_named, text)
        return by_entropy(text)

    def strings(self, value: Any) -> Any:
        """A document with each of its texts, and its keys, as :meth:`text` leaves them."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(k) if isinstance(k, str) else k: self.strings(v) for k, v in value.items()}
        return [self.strings(item) for item in value] if isinstance(value, (list, tuple)) else value

    def document(self, value: Any, name: str = "", *, thorough: bool = False) -> Any:
        """A document of somebody else's, such as a Compose project: also without what stands under a secret name.

        ``thorough`` redacts its texts as :meth:`thorough` does.
        """
        if isinstance(value, Mapping):
            return {k: self.document(v, "" if k == "secrets" else str(k), thorough=thorough) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [
                self.document(item, name if is_secret_name(name) else self.option(before), thorough=thorough)
                for before, item in zip(["", *value], value, strict=False)
            ]
        found = self.scalar(value, name)
        return self.thorough(found) if thorough and isinstance(found, str) else found

    @staticmethod
    def option(before: Any) -> str:
        """The name of the option that ``before`` is, for the argument behind it; empty where it is none."""
        return before.lstrip("-") if isinstance(before, str) and before.startswith("-") and "=" not in before else ""

    def scalar(self, value: Any, name: str) -> Any:
        """One value that stands under ``name``."""
        if self.shows or value is None or isinstance(value, bool):
            return value
        if name and is_secret_name(name) and _is_value(str(value)):
            return REDACTED
        if isinstance(value, str):
            return _patterns()["pair"].sub(_hide_named, self.text(value)) if ":" in value else self.text(value)
        return value


def _worth_hiding(value: str) -> bool:
    """Not a plain word: `postgres` is a password, and the name of everything else there."""
    if not _is_value(value):
        return False
    return len(value) >= 16 or (len(value) >= 8 and re.fullmatch(r"[a-z]+|[A-Z]+|\d+", value) is None)


def named_values(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a document with the name that it stands under, those of ``NAME=value`` lists too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from named_values(inner, str(key))
    elif isinstance(value, (list, tuple)):
        before = ""
        for item in value:
            yield from named_values(item, Redactor.option(before))
            before = item if isinstance(item, str) else ""
    elif isinstance(value, str):
        head, equals, tail = value.partition("=")
        yield (head.lstrip("-"), tail) if equals and re.fullmatch(_WORD, head.lstrip("-")) else (name, value)


def credentials_in(text: str) -> list[str]:
    """The passwords, and users without one, of the URLs in ``text``."""
    if "@" not in text:
        return []
    found = (m["who"] for name in ("authority", "malformed") for m in _patterns()[name].finditer(text))
    return [who.partition(":")[2] or who for who in found]
